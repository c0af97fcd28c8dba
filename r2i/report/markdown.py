"""The README's table and docs/measurements.md, written from metrics and results so that no figure is typed by hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from r2i.core import paths
from r2i.core.disk import new_file
from r2i.core.errors import R2IError
from r2i.core.names import VIEWS, ModelNames
from r2i.core.params import load_params
from r2i.repo.profile import read_run_or_none
from r2i.report.benches import Bench, read_results
from r2i.report.evaluated import evaluation_lines
from r2i.report.measured import Provenance, join_names, read_provenance, read_run_changes

BEGIN, END = "<!-- numbers: written by `make readme` -->", "<!-- end of numbers -->"
README, PAGE = Path("README.md"), Path("docs/measurements.md")
METRICS = (paths.metrics("evaluate"), paths.metrics("audit"))
OLDER = "**measured with older code**"
HEAD = """# Measurements

Written by `make readme` from `metrics/` and `bench/results/`; no figure is typed by hand. Beside each stand the command
that measures it and the git revision at which it was measured.

`make readme` refuses figures of older code. Each result keeps digests of the code, the params and the models that it
depends on (comments and layout don't count), and dvc.lock says the same of the run. Some benches take a quarter of an
hour of a quiet machine, or need a GPU or servers, so `make readme OLDER=1` writes this page all the same, with a mark
beside each such figure. Marks are of the day on which the page was written; `make readme` says how things stand now.
*No revision recorded*: the result is from before revisions were kept. Nobody can say what has changed since; it counts
as older.
"""


def update_readme(older: bool = False) -> list[Path]:
    """Write the README's table and the page of measurements; the files that changed.

    `older`: figures of older code are marked instead of refused. Raises R2IError where a metric or a marker is
    missing, and where a figure is of older code, naming each: its file, what changed since, the command to run.
    """
    scores, audit = (_read(path, "run `make repro`") for path in METRICS)
    if run := read_run_or_none():
        for path in METRICS:
            if run.writers.get(path.as_posix()) in run.foreign:
                run.require(path)
    changed = read_run_changes(METRICS)
    results = [(bench, values, read_provenance(values)) for bench, values in read_results()]
    if not older and (stale := _list_stale(changed, results)):
        cause = f"{len(stale)} measurements are of older code:\n" + "\n".join(stale)
        raise R2IError(cause, "run these commands, or `make readme OLDER=1` to mark the figures instead")
    _between_markers(README, "")  # raises before anything is read
    loaded = load_params()
    models, given = loaded.model_names, loaded.chosen.evaluate.zoom.box == "oracle"
    if models.base is None or scores.get("left_out"):
        raise R2IError("no model was measured: there are no figures to write", "name a model in `models` of params")
    table = write_table(scores, models) + (f"\n\n{OLDER}: run `make repro`, then `make readme`." if changed else "")
    texts = {README: _between_markers(README, table), PAGE: write_page(scores, audit, models, given, changed, results)}
    written = [path for path, text in texts.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in written:
        with new_file(path) as part:
            part.write_text(texts[path], encoding="utf-8")
    return written


def _list_stale(changed: Sequence[str], results: Sequence[tuple[Bench, Any, Provenance]]) -> list[str]:
    stale = [(", ".join(map(str, METRICS)), join_names(changed), "make repro")] if changed else []
    stale += [(str(bench.result), str(origin), bench.run) for bench, _, origin in results if not origin.current]
    return [f"  {name}: {why}\n      {command}" for name, why, command in stale]


def _between_markers(path: Path, table: str) -> str:
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise R2IError(f"{path} has no markers for its numbers", f"put `{BEGIN}` and `{END}` into it")
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}"


def write_table(scores: dict[str, Any], models: ModelNames) -> str:
    """Models by views as Markdown, and what n and the intervals are."""
    views = scores["views"]
    lines = ["| view | " + " | ".join(models.titles.values()) + " |", "|---" * (1 + len(models.titles)) + "|"]
    for view in [view for view in VIEWS if view in views]:
        cells = [_share(views[view][model]) for model in models]
        lines.append(f"| {view} | " + " | ".join(cells) + " |")
    lines += ["", f"{_counts(scores)} {_changes(scores, models) if models.compared else _gap_alone(scores, models)}"]
    return "\n".join(lines)


def _counts(scores: dict[str, Any]) -> str:
    return (
        f"n = {scores['items']} held-out questions, 95 % intervals clustered by image, "
        f"chance {100 * scores['chance']:.0f} %."
    )


def _changes(scores: dict[str, Any], models: ModelNames) -> str:
    gap, gain = scores["gap"], scores["full_gain"]
    text = f"Full view: {_points(gain)}, McNemar {_p_words(gain['p_mcnemar'])}."
    if gap["change"] is None:
        return text
    closed = "" if gap["closed_share"] is None else f", {100 * gap['closed_share']:.0f} % closed"
    return f"{text} Zooming gap: {' → '.join(f'{100 * gap[m]:.1f}' for m in models.leading)} points{closed}."


def _gap_alone(scores: dict[str, Any], models: ModelNames) -> str:
    gap = scores["gaps"][models.base]
    return f"Zooming gap: {_points(gap)}, McNemar {_p_words(gap['p_mcnemar'])}." if gap["n"] else ""


def _points(found: dict[str, Any]) -> str:
    low, high = found["ci95"]
    return f"{100 * found['value']:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"


def write_page(
    scores: dict[str, Any],
    audit: dict[str, Any],
    models: ModelNames,
    given: bool,
    changed: Sequence[str],
    results: Sequence[tuple[Bench, dict[str, Any], Provenance]],
) -> str:
    """The text of docs/measurements.md.

    `given`: see evaluation_lines. `changed`: what differs from what the run of the metrics was made from.
    """
    run_state = f"{OLDER}; changed since: {join_names(changed)}" if changed else "dvc.lock is of this code"
    rows = [("The run", "make repro", "10 minutes", OLDER if changed else "dvc.lock")]
    rows += [(bench.title, bench.run, bench.takes, _mark(origin)) for bench, _, origin in results]
    lines = [HEAD, "| | command | takes, on 2 cores | measured at |", "|---|---|---|---|"]
    lines += [f"| [{title}](#{_anchor(title)}) | `{run}` | {takes} | {at} |" for title, run, takes, at in rows]
    lines += ["", "## The run", "", write_table(scores, models), ""]
    curve = {int(k): share for k, share in (scores["pass_at_k"].get(models.base) or {}).items() if k != "n"}
    if curve and models.base:
        said = ", ".join(f"pass@{k} {100 * curve[k]:.1f} %" for k in sorted({min(curve), max(curve)}))
        lines += [f"{models.titles[models.base]} in the full view, sampled: {said}."]
    lines += [
        "",
        *_audit_lines(audit),
        *evaluation_lines(scores, models, given),
        "",
        _source("make repro", METRICS, run_state),
    ]
    for bench, values, origin in results:
        state = str(origin) if origin.current else f"{OLDER}: {origin}"
        lines += ["", f"## {bench.title}", "", bench.describe(values), "", _source(bench.run, [bench.result], state)]
    return "\n".join(lines) + "\n"


def _source(command: str, files: Sequence[Path], state: str) -> str:
    links = ", ".join(f"[{path}](../{path})" for path in files)
    return f"*`{command}` → {links}* · {state}"


def _mark(origin: Provenance) -> str:
    if not origin.revision:
        return f"{OLDER}: no revision recorded"
    return f"`{origin.revision[:12]}`" if origin.current else f"`{origin.revision[:12]}`, {OLDER}"


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _read(path: Path, remedy: str) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise R2IError(f"no {path}", remedy) from error


def _share(cell: dict[str, Any]) -> str:
    if cell["accuracy"] is None:
        return "–"
    low, high = cell["ci95"]
    return f"{100 * cell['accuracy']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def _audit_lines(audit: dict[str, Any]) -> list[str]:
    if not audit.get("available"):
        return []
    facts = {
        "objects that a region covers": audit["regions"]["recall"],
        "questions answerable and unambiguous, as written": audit["questions"]["before"]["good"],
        "the same after validation": audit["questions"]["after"]["good"],
        "single teacher answers that are right": audit["answers"]["single"],
        "voted answers that were kept and are right": audit["votes"]["kept"],
        "voted answers that were thrown away and are right": audit["votes"]["dropped"],
        "training rows with a right label": audit["train"]["label_precision"],
    }
    lines = ["| audit against the renderer's truth, after the fact | share | n |", "|---|---|---|"]
    for name, cell in facts.items():
        share = "-" if cell["value"] is None else f"{100 * cell['value']:.1f} %"
        lines.append(f"| {name} | {share} | {cell['n']} |")
    return lines


def _p_words(p: float) -> str:
    return f"p = {p:.2g}" if p >= 0.0001 else "p < 0.0001"
