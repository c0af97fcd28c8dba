"""The data card."""

from collections.abc import Mapping
from typing import Any

from r2i.core import paths
from r2i.core.catalogue import BENCHMARK, TABLES
from r2i.core.errors import TableError
from r2i.core.params import CROP_TAKES, Params, load_params
from r2i.repo.profile import Run, read_run_or_none
from r2i.tools.cards.facts import (
    STAGES,
    Export,
    calls_paid,
    count_train,
    funnel,
    hub_licence,
    left_out,
    licence_of,
    licence_text,
    own_licence,
    pools_of,
    read_metrics,
    revision,
    room_of,
    size_category,
    ways_asked,
)
from r2i.tools.cards.render import MARK, render

FENCE = "~~~~"  # around prompts, which hold backticks


def data_card(export: Export | None = None) -> str:
    """Of the train rows here, or of the dataset that was just written from a table here.

    Raises TableError where there are no train rows, ParamsError without params, and R2IError where the table is not of
    the chosen profile.
    """
    params, run = load_params(), read_run_or_none()
    what = export.what if export else "train"
    train = count_train() if what == "train" else {}
    if run:
        run.require(paths.TRAIN if what == "train" else paths.BENCHMARK)
    pools = [
        {"name": pool.name, "kind": pool.kind, "licence": licence_text(pool), "version": pool.version}
        | _counts(read_metrics("sample", run).get("pools", {}).get(pool.name))
        for pool in pools_of(params)
    ]
    audit = read_metrics("audit", run)
    return render(
        "data.md.jinja",
        _front(_licences(params, what), export.rows if export else train["rows"], export),
        what=what,
        profile=params.profile,
        pools=pools,
        rendered=_is_rendered(params, what),
        train=train,
        funnel=list(funnel(run)),
        filters=_filters(params),
        asked=[(room_of(way.step), way) for way in ways_asked()],
        paid=list(calls_paid(run)),
        tried=_tried_by(params),
        base=params.chosen.train.base if params.chosen.has("train") else "",
        judge=params.chosen.vote.judge if params.chosen.has("vote") else "",
        benchmark=_benchmark(run),
        audit=_audit(audit),
        contamination=audit.get("contamination"),
        features=_features(export),
        fence=FENCE,
        revision=revision((str(table.folder) for table in TABLES), run.own if run else None),
        train_folder=str(paths.TRAIN),
    )


def _tried_by(params: Params) -> str:
    """The model whose tries say how hard a row is; "" where none tried."""
    chosen = params.chosen
    return chosen.overlay.student.model if chosen.has("overlay") and chosen.overlay.answered else ""


def data_left_out() -> str:
    """A line about what the card leaves out because it is not of the chosen params; "" where that is nothing."""
    return left_out(read_run_or_none(), (*STAGES, "audit"))


def _front(licences: list[str], rows: int, export: Export | None) -> dict[str, Any]:
    front: dict[str, Any] = {
        **hub_licence(licences),
        "language": ["en"],
        "pretty_name": "Region-to-Image distillation" + (": benchmark" if export and export.what != "train" else ""),
        "size_categories": [size_category(rows)],
        "task_categories": ["visual-question-answering", "image-text-to-text"],
        "tags": [MARK, "region-to-image", "multiple-choice", "arxiv:2602.11858"],
    }
    if export is None:
        return front
    splits = [{"name": export.split, "num_bytes": export.size, "num_examples": export.rows}]
    files = [{"split": export.split, "path": f"data/{export.split}-*.parquet"}]
    return front | {
        "configs": [{"config_name": "default", "data_files": files}],
        "dataset_info": {
            "features": export.features._to_yaml_list(),
            "splits": splits,
            "download_size": export.download,
            "dataset_size": export.size,
        },
    }


def _is_rendered(params: Params, what: str) -> bool:
    sources = pools_of(params) if what == "train" else params.chosen.benchmark.sources
    return any(source.kind == "rendered" for source in sources)


def _licences(params: Params, what: str) -> list[str]:
    """Of the pools; of a benchmark that was not rendered here nobody has stated one."""
    if what == "train":
        return [licence_of(pool) for pool in pools_of(params)]
    return [own_licence() if source.kind == "rendered" else "not stated" for source in params.chosen.benchmark.sources]


def _counts(found: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"offered": (found or {}).get("offered"), "ok": (found or {}).get("ok")}


def _filters(params: Params) -> dict[str, dict[str, Any]]:
    """The params that decide, stage by stage."""
    chosen = params.chosen.model_dump(mode="json", by_alias=True)
    found = {}
    for stage, names in DECIDING.items():
        section = chosen[stage] or {}
        if stage == "crop" and section:  # what the method doesn't read decides nothing
            ignored = {name for takes in CROP_TAKES.values() for name in takes} - set(CROP_TAKES[section["method"]])
            names = tuple(name for name in names if name not in ignored)
        found[stage] = {name: section[name] for name in names if section.get(name) is not None}
    return found


DECIDING = {
    "sample": ("images", "min_side", "max_aspect", "near_duplicate_bits"),
    "crop": ("method", "min_score", "min_stability", "max_area_share", "min_side", "max_iou", "per_image", "margin",
             "square", "upscale", "min_objects", "sam2_model"),
    "question": ("per_crop", "validate"),
    "answer": ("skip_below",),
    "vote": ("min_agreement", "judge"),
    "overlay": ("distractors", "tries", "drop_at", "per_dimension", "expand", "line", "views"),
}  # fmt: skip


def _benchmark(run: Run | None) -> dict[str, Any] | None:
    """How many items, and from where, of the benchmark here; None where it has none, or none of the chosen params."""
    if run and not run.owns(paths.BENCHMARK):
        return None
    sources: dict[str, int] = {}
    try:
        for batch in BENCHMARK.batches(["source", "status"]):
            for source, status in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                sources[source] = sources.get(source, 0) + (status == "ok")
    except TableError:
        return None
    if not sources:
        return None
    return {"rows": sum(sources.values()), "sources": dict(sorted(sources.items()))}


def _audit(audit: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """What was measured against the renderer's truth; nothing where there is none."""
    places = {
        "objects that a region covers": ("regions", "recall"),
        "questions answerable and unambiguous, as written": ("questions", "before", "good"),
        "the same after validation": ("questions", "after", "good"),
        "single teacher answers that are right": ("answers", "single"),
        "voted answers that were kept and are right": ("votes", "kept"),
        "questions of training rows whose label is right": ("train", "label_precision"),
        "questions of training rows that name one object": ("train", "unambiguous"),
    }
    found = []
    for name, place in places.items():
        value: Any = audit
        for part in place:
            value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, Mapping) and value.get("value") is not None:
            found.append((name, value))
    return found


def _features(export: Export | None) -> list[tuple[str, str]]:
    """The columns of an export, with what each holds."""
    return [(name, COLUMNS.get(name, "")) for name in export.features] if export else []


COLUMNS = {
    "images": "one picture: what `view` says, or the full view of a benchmark item",
    "crop": "the crop view of a benchmark item; null where it has none",
    "problem": "`<image>` and the whole prompt",
    "answer": "letter of the right option; of an open question its text",
    "answer_text": "text of the right option",
    "bbox": "xyxy, pixels of the full image, right and bottom exclusive, not expanded",
    "status": "`valid vqa` in all rows",
    "data_source": "`general` in all rows; the reference's reward reads it",
    "ability": "`general` in all rows; the reference's reward reads it",
    "extra_info": "`question` (the problem again), `dimension`, `view`, `row_id`, `answer` (the text)",
    "row_id": "hash of question_id and view: `r2i lineage` walks it back",
    "item_id": "of the benchmark",
    "question_id": "hash of region and question; the same in the views of one question",
    "region_id": "hash of image and box",
    "image_id": "sha256 of the source image's bytes",
    "view": "boxed: full image, box drawn; told: box in words; full: without; crop: the region alone",
    "dimension": "kind of question, as the teacher named it",
    "question": "without options and instruction",
    "options": "in the order shown",
    "agree": "teacher samples that gave the answer",
    "right": "student tries on the boxed image that were right",
    "tries": "student tries that gave an answer",
    "pool": "name of the image's pool: its licence stands below",
    "source": "name of the benchmark",
}
