"""Rows as cards: the whole way of a training row, a benchmark item with what the models said of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from r2i.core.choices import LETTERS
from r2i.core.names import ModelNames, ViewName
from r2i.report.charts import percent
from r2i.report.dropped import Dropped
from r2i.report.galleries import greedy
from r2i.report.gather import Step
from r2i.report.pick import Row
from r2i.report.pictures import picture
from r2i.report.text import tail, words

REASONS = 40  # of a stage that are listed one by one
REPLY = 200  # characters of a reply that are shown, from its end
CHECKS = {"answerable_from_crop", "one_clear_answer", "same_in_both", "names_target"}  # a question is dropped by a no
STAGES = {  # what each stage of the funnel decides
    "sample": "Which images are read: large enough, whole, not there already.",
    "crop": "Which boxes are regions: sure enough, small beside the image, large enough to read.",
    "question": "Which questions are clear, and can be answered from the crop.",
    "answer": "What the teachers answered, several times each, looking at the crop.",
    "vote": "Which answers enough samples agree on.",
    "overlay": "Which questions get wrong options and are hard enough for the student.",
}


def option_lines(
    options: Sequence[str] | None, label: str, chose: Mapping[str, str] | None = None
) -> list[tuple[str, str, bool, list[str]]]:
    """(letter, text, whether it is right, models that chose it); options beyond the last letter get a number."""
    lines = []
    for n, text in enumerate(options or []):
        letter = LETTERS[n] if n < len(LETTERS) else str(n + 1)
        lines.append((letter, text, letter == label, [m for m, one in (chose or {}).items() if one == letter]))
    return lines


def train_card(row: Row, scale: float = 1.0) -> dict[str, Any]:
    """A training row as the page shows it: image, crop, question, what each teacher said, the vote, options, tries."""
    said: dict[str, Counter[str]] = {}
    for answer in row["answers"]:
        text = answer["answer"] if answer["status"] == "ok" else f"({words(answer['reason'])})"
        said.setdefault(answer["teacher"], Counter())[text] += 1
    box = row["box"] if row["view"] == "full" else None  # the boxed view has it, the crop view is it
    return {
        **row,
        "full": picture(row["image"], "full", box, scale),
        "crop": picture(row["region"].get("crop"), "crop", None, scale),
        "area": percent(row["region"].get("area_share")),
        "options": option_lines(row["options"], row["label"]),
        "said": {name: sorted(counts.items(), key=lambda p: (-p[1], p[0])) for name, counts in said.items()},
        "groups": [(group["answer"], group["count"]) for group in row["vote"].get("groups") or []],
        "tried": [n < (row["right"] or 0) for n in range(row["tries"] or 0)][:32],
    }


def example_card(row: Row, models: ModelNames, views: Sequence[ViewName], scale: float = 1.0) -> dict[str, Any]:
    """A benchmark item as the page shows it, with who chose which option and who was right in which view."""
    first = {model: greedy(row[model], "full") or {} for model in models.leading}
    chose = {model: found.get("predicted") or "" for model, found in first.items()}
    box = None if row["boxed"] else row["box"]
    return {
        **row,
        "full": picture(row["boxed"] or row["image"], "full", box, scale),
        "crop": picture(row["crop"], "crop", None, scale),
        "options": option_lines(row["options"], row["label"], chose),
        "replies": {m: (tail(found.get("reply") or "", REPLY), found.get("correct")) for m, found in first.items()},
        "verdicts": verdict_lines(row, models, views),
    }


def verdict_lines(row: Row, models: ModelNames, views: Sequence[ViewName]) -> list[list[str]]:
    """A line for each model: right or not in each of `views`, and how many of its sampled replies are right."""
    lines = []
    for model in models.leading:
        found = [greedy(row[model], view) for view in views]
        tries = [one["correct"] is True for one in row[model] if one["view"] == "full" and one["sample"] > 0]
        marks = ["–" if one is None else "✓" if one["correct"] else "✗" for one in found]
        lines.append([models.titles[model], *marks, f"{sum(tries)} of {len(tries)}" if tries else "–"])
    return lines


def funnel_card(step: Step, dropped: Dropped) -> dict[str, Any]:
    """One step of the funnel: how many rows there are, what share is ok, why the rest is not, and some of the rest."""
    found = dropped.get(step.stage, {})
    reasons = sorted(step.reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    rest = dict(reasons[REASONS:])
    return {
        "stage": step.stage,
        "unit": step.unit,
        "about": STAGES[step.stage],
        "total": step.rows,
        "ok": step.status.get("ok", 0),
        "rest": f"{len(rest):,} other reasons: {sum(rest.values()):,}" if rest else "",
        "shares": {name: 100 * step.status.get(name, 0) / max(1, step.rows) for name in ("ok", "rejected", "failed")},
        "reasons": [
            {"name": reason_words(name.partition(": ")[2]), "failed": name.startswith("failed"), "n": n,
             "share": percent(n / max(1, step.rows)), "rows": [_dropped_row(row) for row in found.get(name, [])]}
            for name, n in reasons[:REASONS]
        ],
    }  # fmt: skip


def reason_words(reason: str) -> str:
    """A reason as it reads beside its count; of a check, what was answered with no."""
    return f"no to “{words(reason)}”" if reason in CHECKS else words(reason) or "no reason given"


def _dropped_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"facts": row["facts"], "picture": picture(row["picture"], "thumb", row["box"])}
