"""The card of a built benchmark: what it is, how it was made, what not to conclude from it."""

from collections.abc import Mapping
from typing import Any

from r2i.benchmark.build import LEFT_OUT


def card(made: Mapping[str, Any]) -> str:
    """README.md from build.json's values."""
    lines = [
        f"# {made['name']}",
        "",
        f"{made['items']:,} questions about small regions of {made['images']:,} images, each with the full image, the "
        f"crop, and the full image with the box drawn. {made['items'] - made['open']:,} are multiple choice, "
        f"{made['open']:,} open. Made by `r2i benchmark build`.",
        "",
        "## How far to trust it",
        "",
        f"- {made['verified']:,} of {made['items']:,} questions were accepted or fixed by people (two that agree, or "
        f"most of three and more). {_unverified(made)}",
        *_options(made),
        f"- {_seen(made)}",
        "- The questions were written by the teachers and kept by their vote: what teachers can't see is not asked.",
        *_hardness(made["rules"]),
        "",
        "## Counts",
        "",
        *_table("dimension", "items", made["dimension"]),
        "",
        *_table("right letter", "items", made["label"]),
        "",
        f"Of {made['considered']:,} voted questions these were left out:",
        "",
        *_table("reason", "questions", {LEFT_OUT[name]: count for name, count in made["left_out"].items()}),
        "",
        "## Files",
        "",
        "- `items/`: the table of `r2i/core/records.py` (`BENCHMARK`); a source of kind `table`",
        "- `zoombench/`: the same questions with ZoomBench's columns; a source of kind `zoombench`, `box_unit: pixels`",
        "- `build.json`: the rules, counts, and of each item its question, its teachers' votes and the student's tries",
        "",
        "## Images",
        "",
        *_table("pool", "licence", {name: text or "not stated" for name, text in made["pools"].items()}),
    ]
    return "\n".join(lines) + "\n"


def _seen(made: Mapping[str, Any]) -> str:
    seen = len(made["on_trained_images"])
    text = f"{seen:,} of {made['items']:,} questions are about images that the train rows of the same run show"
    if not seen:
        return f"{text}."
    return (
        f"{text}: a model that was trained on these rows has seen the images, with other questions. `build.json` names "
        "the items (`on_trained_images`); leave those images out of the training, or build with `--unseen-images`."
    )


def _options(made: Mapping[str, Any]) -> list[str]:
    if not made["verified"] or made["open"] == made["items"]:
        return []
    return [
        "- What people decided about is question, answer, dimension and box. The wrong options may have been made by "
        "the teacher after that: nobody need have looked whether one of them is right too."
    ]


def _unverified(made: Mapping[str, Any]) -> str:
    count = made["items"] - made["verified"]
    if not count:
        return ""
    return f"**{count:,} were not looked at by anybody**: `verified` in `build.json` says which."


def _hardness(rules: Mapping[str, Any]) -> list[str]:
    if rules["max_right"] is None:
        return []
    model, view = (rules["hard_for"], "full") if rules["hard_for"] else ("the student of this run", "boxed")
    return [
        f"- Only questions are here that {model} got right in at most {rules['max_right']} of its tries in the {view} "
        "view. Its own score here is lower than on questions as they come, and so is that of models like it."
    ]


def _table(left: str, right: str, values: Mapping[str, Any]) -> list[str]:
    rows = [f"| {_cell(name)} | {_cell(value)} |" for name, value in values.items()]
    return [f"| {left} | {right} |", "|---|---|", *rows]


def _cell(value: Any) -> str:
    """One line of a table, whatever a teacher wrote."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")[:200]
