"""The model card."""

from collections.abc import Mapping
from typing import Any

from r2i.core import paths
from r2i.core.curve import Line, last_mean, read_curve
from r2i.core.errors import R2IError
from r2i.core.left_out import NOT_TRAINED
from r2i.core.names import OBJECTIVES, VIEWS, ModelNames
from r2i.core.params import Train, load_params
from r2i.repo.lock import Lock
from r2i.repo.profile import read_run_or_none
from r2i.score.asked import asked_words
from r2i.tools.cards.facts import hub_licence, left_out, own_licence, pools_of, read_metrics, revision
from r2i.tools.cards.render import MARK, render

Views = list[tuple[str, dict[str, Mapping[str, Any]]]]
SHOWN = ("accuracy", "reward", "format", "kept_groups", "response_length", "truncated", "entropy", "loss",
         "token_accuracy")  # fmt: skip


def trained_models(lock: Lock | None = None) -> dict[str, str]:
    """The stage that trained it, by the model's name; of dvc.lock."""
    if lock is None:
        run = read_run_or_none()
        lock = run.lock if run else None
    folder = f"{paths.MODELS}/"
    outs = [entry for entry in lock.outs() if entry.stage.startswith("train@")] if lock else []
    models = {entry.path.removeprefix(folder): entry.stage for entry in outs if entry.path.startswith(folder)}
    return {name: stage for name, stage in models.items() if not (paths.MODELS / name / NOT_TRAINED).exists()}


def model_card(name: str) -> str:
    """Of models/`name`, as dvc.lock says that it was trained; what is not of the chosen params beside it is left out.

    Raises R2IError where dvc.lock knows no training of it.
    """
    params, repo = load_params(), read_run_or_none()
    trained = trained_models(repo.lock if repo else None)
    if repo is None or name not in trained:
        known = ", ".join(trained) or "none"
        raise R2IError(f"dvc.lock names no training of models/{name}", f"run `dvc repro`; trained here: {known}")
    stage = trained[name]
    run = stage.partition("@")[2]
    own = stage not in repo.foreign
    models = params.model_names
    evaluated = models.runs.get(run) or name
    locked = _train_params(repo.lock, stage)
    base = str(locked.get("base") or "")
    scores = read_metrics("evaluate", repo) if own else {}
    views = _views(scores, evaluated, models)
    return render(
        "model.md.jinja",
        _front(name, base, views, evaluated, scores.get("protocol") or {}),
        name=name,
        about=next((found.about for known, found in OBJECTIVES.items() if known == run), "A student"),
        first=models.base if views else "",
        evaluated=evaluated,
        base=base,
        engine=locked.get("engine"),
        profile=params.profile if own else "",
        rows=_rows(repo.lock, stage, locked),
        metrics=read_metrics(f"train-{run}"),
        settings=_settings(run, locked),
        curve=_curve(run),
        scores=scores,
        asked=asked_words(scores),
        views=views,
        gain=_compared(scores, evaluated, models, "full_gain"),
        gap=_compared(scores, evaluated, models, "gap"),
        passes={m: found for m, found in (scores.get("pass_at_k") or {}).items() if m in (models.base, evaluated)},
        rendered=own and any(pool.kind == "rendered" for pool in pools_of(params)),
        revision=revision([f"{paths.MODELS}/{name}", *([str(paths.BENCHMARK)] if views else [])], repo.lock),
    )


def model_left_out(name: str) -> str:
    """A line about what the card leaves out because it is not of the chosen params; "" where that is nothing."""
    repo = read_run_or_none()
    stage = trained_models(repo.lock).get(name, "") if repo else ""
    if repo and stage in repo.foreign:
        return f"left out: profile and evaluation; models/{name} is not of profile {repo.profile}: {repo.told([stage])}"
    return left_out(repo, ["evaluate"])


def _train_params(lock: Lock, stage: str) -> dict[str, Any]:
    """By their names below `train`, as locked."""
    params = lock.params(stage)
    return {key.removeprefix("train."): value for key, value in params.items() if key.startswith("train.")}


def _settings(run: str, locked: Mapping[str, Any]) -> dict[str, Any]:
    """All params of the run: as locked, and the defaults of what is not written there."""
    section: Any = Train.model_fields[run].annotation
    return dict(section.model_validate(locked[run]).model_dump(mode="json")) if locked.get(run) else {}


def _rows(lock: Lock, stage: str, locked: Mapping[str, Any]) -> dict[str, Any]:
    """Which rows it learned from: an imported table by its sha256, else those of `overlay` by DVC's hash."""
    if locked.get("rows"):
        return {"path": locked["rows"]["path"], "digest": f"sha256 {locked['rows']['sha256']}"}
    md5 = next((entry.md5 for entry in lock.deps(stage) if entry.path == str(paths.TRAIN)), "")
    return {"path": str(paths.TRAIN), "digest": f"md5 {md5}"}


def _curve(run: str) -> dict[str, Any]:
    """Steps, and means over the first and the last of them."""
    lines: list[Line] = list(read_curve(paths.TRAIN_LOGS / f"{run}.json"))
    window = min(10, len(lines))
    first, last = last_mean(lines[:window], SHOWN), last_mean(lines, SHOWN)
    table = [(key, first.get(key), last[key]) for key in SHOWN if key in last]
    return {"steps": len(lines), "window": window, "table": table}


def _views(scores: Mapping[str, Any], name: str, names: ModelNames) -> Views:
    """Accuracies of the base and of this model in each view that has them."""
    found = []
    for view, models in (scores.get("views") or {}).items():
        cells = {model: (models or {}).get(model) or {} for model in (*names.leading[:1], name)}
        if cells[name].get("accuracy") is not None:
            found.append((view, cells))
    order: list[str] = list(VIEWS)
    return sorted(found, key=lambda pair: (order.index(pair[0]) if pair[0] in order else len(order), pair[0]))


def _compared(scores: Mapping[str, Any], name: str, names: ModelNames, what: str) -> Mapping[str, Any] | None:
    """The comparison with the base: on top for the headline's model, in a section of its name for others."""
    if not scores:
        return None
    found = scores.get(what) if name == names.compared else (scores.get(name) or {}).get(what)
    return found if isinstance(found, Mapping) and found else None


def _front(name: str, base: str, views: Views, evaluated: str, protocol: Mapping[str, Any]) -> dict[str, Any]:
    ours = base.startswith(("models/", "/", "."))  # else an id of the Hub
    front: dict[str, Any] = {
        **hub_licence([own_licence() if ours else "that of the base model"]),
        "language": ["en"],
        "library_name": "transformers",
        "pipeline_tag": "image-text-to-text",
        "tags": [MARK, "region-to-image", "arxiv:2602.11858"],
    }
    if not ours:
        front["base_model"] = base
    asked = {"args": {"protocol": protocol["name"]}} if protocol else {}
    results = [
        {
            "task": {"type": "visual-question-answering"},
            "dataset": {"type": "r2i-benchmark", "name": f"r2i benchmark, {view} view"} | asked,
            "metrics": [{"type": "accuracy", "value": cells[evaluated]["accuracy"]}],
        }
        for view, cells in views
    ]
    return front | ({"model-index": [{"name": name, "results": results}]} if results else {})
