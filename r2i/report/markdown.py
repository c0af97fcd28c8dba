"""The README's numbers, written from metrics so that none is typed by hand."""

import json
from pathlib import Path
from typing import Any

from r2i.core import paths
from r2i.core.disk import new_file
from r2i.core.errors import R2IError
from r2i.core.names import VIEWS
from r2i.core.params import load_params
from r2i.report.benches import bench_lines
from r2i.report.evaluated import evaluation_lines

BEGIN, END = "<!-- numbers: written by `make readme` -->", "<!-- end of numbers -->"


def _read(path: Path, remedy: str) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise R2IError(f"no {path}", remedy) from error


def _share(cell: dict[str, Any]) -> str:
    low, high = cell["ci95"]
    return f"{100 * cell['accuracy']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def numbers() -> str:
    """The tables between the README's markers, as Markdown. Raises R2IError where a metric is missing."""
    scores = _read(paths.metrics("evaluate"), "run `make repro`")
    audit = _read(paths.metrics("audit"), "run `make repro`")
    views = scores["views"]
    models = load_params().model_names
    lines = ["| view | " + " | ".join(models.titles.values()) + " |", "|---" * (1 + len(models.titles)) + "|"]
    for view in [view for view in VIEWS if view in views]:
        cells = [_share(views[view][model]) for model in models]
        lines.append(f"| {view} | " + " | ".join(cells) + " |")
    gap, gain, passes = scores["gap"], scores["full_gain"], scores["pass_at_k"][models.base]
    lines += [
        "",
        f"n = {views['full'][models.base]['n']} held-out questions, 95 % intervals clustered by image, "
        f"chance {100 * scores['chance']:.0f} %. "
        f"Full view: {100 * gain['value']:+.1f} points "
        f"({100 * gain['ci95'][0]:+.1f} to {100 * gain['ci95'][1]:+.1f}), McNemar {_p_words(gain['p_mcnemar'])}. "
        f"Zooming gap: {100 * gap[models.base]:.1f} → {100 * gap[models.compared]:.1f} points, "
        f"{100 * gap['closed_share']:.0f} % closed. "
        f"{models.titles[models.base]} in the full view, sampled: pass@1 {100 * passes['1']:.1f} %, "
        f"pass@8 {100 * passes['8']:.1f} %.",
        "",
        *_audit_lines(audit),
        *evaluation_lines(scores, models),
    ]
    for line in bench_lines():
        lines += ["", line]
    return "\n".join(lines)


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


def update_readme(path: Path = Path("README.md")) -> bool:
    """Replace what stands between the markers; True where the file changed."""
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise R2IError(f"{path} has no markers for its numbers", f"put `{BEGIN}` and `{END}` into it")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    fresh = f"{before}{BEGIN}\n{numbers()}\n{END}{after}"
    with new_file(path) as part:
        part.write_text(fresh, encoding="utf-8")
    return fresh != text
