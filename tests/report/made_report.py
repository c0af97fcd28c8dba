"""A made-up run with everything that the report can show, and the same run with texts that mean harm."""

from pathlib import Path
from typing import Any

from made_run import NAMES, add_attention, add_zoom, make_run, write_params

from r2i.core import paths
from r2i.core.catalogue import ANSWERS, BENCHMARK, IMAGES, QUESTIONS, REGIONS, TRAIN, VOTES, Listed
from r2i.core.images import jpeg_bytes
from r2i.core.metrics import count_statuses, write_metrics
from r2i.core.records import PREDICTIONS
from r2i.core.tables import Row, read_table, write_table
from r2i.report.gather import read_json

EVIL = (
    '<script>window.ran=1</script><img src=x onerror="window.ran=1"></title></style></svg><svg onload="window.ran=1">'
    "'\"`{{ 7*7 }}{% raw %}\u202egnp.exe\u2066\U000e0041\x00\x1b[31m\u200f \U0001f600 $\\frac{1}{2}$ &lt;b&gt; "
)
LONG = EVIL + "W" * 10_000
MODELS = [Listed("", paths.PREDICTIONS / m, PREDICTIONS, "evaluate") for m in NAMES]
DROPPED = {"crop": "too_small", "question": "one_clear_answer", "answer": "no_answer", "vote": "no_agreement"}


def make_whole_run(root: Path) -> None:
    """A run below the current directory with all tables and metrics, and rows that were dropped at every stage."""
    make_run(6)
    write_params(root)
    add_zoom()
    add_attention()
    _add_lost_image()
    for listed in (REGIONS, QUESTIONS, ANSWERS, VOTES):
        _drop_some(listed, DROPPED[listed.stage])
    _write_metrics()


def _rows(listed: Listed) -> list[Row]:
    return read_table(listed.folder, listed.schema, listed.stage)


def _add_lost_image() -> None:
    rows = _rows(IMAGES)
    lost = {**rows[0], "image_id": "lost", "image": None, "status": "rejected", "reason": "near_duplicate"}
    write_table(IMAGES.folder, [*rows, lost], IMAGES.schema)


def _drop_some(listed: Listed, reason: str) -> None:
    rows = _rows(listed)
    copies = [{**row, listed.key: f"{row[listed.key]}x", "status": "rejected", "reason": reason} for row in rows[:5]]
    if listed is REGIONS:
        copies = [{**row, "crop": None} for row in copies]
    write_table(listed.folder, rows + copies, listed.schema)


def _write_metrics() -> None:
    calls = {"calls": {"made/teacher": {"requests": 10, "samples": 80, "tokens_in": 900, "tokens_out": 70, "cost": 1}}}
    teachers = {name: {"rows": 40, "status": {"ok": 39}, "reason": {}} for name in ("teacher-a", "teacher-b")}
    review = {"reviewed": 40, "accepted": 30, "fixed": 6, "rejected": 4, "disputed": 3, "open": 1, "stale": 0,
              "acceptance": {"value": 0.9, "ci95": [0.77, 0.96]},
              "precision_unreviewed": {"value": 0.75, "ci95": [0.6, 0.86]},
              "alpha": {"value": 0.61, "n": 40}}  # fmt: skip
    more: dict[str, dict[str, Any]] = {
        "question": {**calls, "by_dimension": {"ocr": 30, "color": 10}},
        "answer": {**calls, "by_teacher": teachers, "not_asked": {"samples": 8, "questions": 2}},
        "vote": {"agree": {"8": 30, "5": 10}, "decided_by_rules": 36, "judged": 4, "teachers_differ": 3,
                 "teacher_agreement": {"teacher-a": 0.9, "teacher-b": 0.8}, "kept_by_dimension": {"ocr": 20}},
        "overlay": {"review": review, "rows_by_view": {"boxed": 9, "full": 7}},
        "crop": {"median_area_share": 0.03},
        "benchmark": {"dimension": {"ocr": 12}, "sources": {"made": {"kind": "zoombench"}}, "review": review},
    }  # fmt: skip
    for listed in (IMAGES, REGIONS, QUESTIONS, ANSWERS, VOTES, TRAIN):
        found = {
            **read_json(paths.metrics(listed.stage)),
            **count_statuses(_rows(listed)),
            **more.get(listed.stage, {}),
        }
        write_metrics(paths.metrics(listed.stage), found)
    write_metrics(paths.metrics("benchmark"), more["benchmark"])
    write_metrics(paths.metrics("train-dapo"), {"engine": "trl", "steps": 100, "rows": 40, "warnings": ["low memory"]})


def make_hostile() -> None:
    """Put EVIL into every text of every table and into the keys of the metrics."""
    kept = {"status", "view", "rule", "label", "predicted", "phash"}
    for listed in (IMAGES, REGIONS, QUESTIONS, ANSWERS, VOTES, TRAIN, BENCHMARK, *MODELS):
        rows = [{name: _worse(name, value, kept) for name, value in row.items()} for row in _rows(listed)]
        write_table(listed.folder, rows, listed.schema)
    for name in ("question", "answer", "vote", "overlay", "benchmark", "train-dapo", "audit"):
        write_metrics(paths.metrics(name), _worse_keys(read_json(paths.metrics(name))))


def _worse(name: str, value: Any, kept: set[str]) -> Any:
    if name in kept or name.endswith("_id"):
        return value
    if name == "reason":
        return f"{value}{EVIL}" if value else value
    if name == "options" and value:
        return [f"{text}{LONG}" for text in value]
    if name == "groups" and value:
        return [{**group, "answer": LONG} for group in value]
    return f"{value}{LONG}" if isinstance(value, str) else value


def _worse_keys(found: Any) -> Any:
    """Keys that name what came from elsewhere, with EVIL behind them."""
    if not isinstance(found, dict):
        return found
    named = {"reason", "by_dimension", "by_teacher", "calls", "dimension", "kept_by_dimension", "rows_by_view", "agree"}
    return {
        key: {f"{name}{EVIL}": one for name, one in value.items()} if key in named and isinstance(value, dict)
        else [EVIL for _ in value] if key == "warnings" else _worse_keys(value)
        for key, value in found.items()
    }  # fmt: skip


def big_noise(side: int) -> bytes:
    """A picture that JPEG can't make small."""
    import numpy as np
    from PIL import Image

    return jpeg_bytes(Image.fromarray(np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)))
