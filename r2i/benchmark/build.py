"""Voted questions and what people decided about them -> the items of a new benchmark."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from r2i.benchmark.letters import balance_letters
from r2i.benchmark.reviewed import fixed_texts
from r2i.core.boxes import Box, area, clip
from r2i.core.choices import format_options, is_open
from r2i.core.ids import make_id, unit_of
from r2i.core.tables import Row
from r2i.core.text import normalise
from r2i.importing.questions import split_options
from r2i.review.decisions import Decisions, Fix, form_of, was_of
from r2i.review.outcomes import Outcomes, resolve

LEFT_OUT = {  # why a question is no item, in the order in which it is looked at
    "few_agree": "fewer teacher samples agree than asked for",
    "trained": "the question is a train row",
    "trained_image": "its image is one of the train rows' (only with --unseen-images)",
    "review_rejected": "people rejected it",
    "review_disputed": "people did not come to one verdict",
    "not_reviewed": "fewer than two people agree about it yet",
    "bad_fix": "a fix whose answer is none of the options, or whose box lies beside the image",
    "no_options": "there are no wrong answers for it (--open keeps it as an open question)",
    "not_measured": "the model never tried it (--max-right needs that)",
    "too_easy": "the model was right more often than --max-right",
    "unreadable_query": "question and options, put together as one text, are not read back as they were",
    "same_question": "another item asks the same about the same image",
    "over_limit": "beyond --per-dimension; which ones follows from a hash",
}

_REVIEW = "`r2i review questions --of untrained`, then build again; or --unreviewed to take what nobody looked at"
REMEDIES = {  # where no question is left
    "": _REVIEW,
    "few_agree": "lower --min-agree",
    "trained": "make more questions than train rows (overlay.per_dimension limits these), or take them: --trained",
    "trained_image": "leave --unseen-images out, or sample more images",
    "not_reviewed": _REVIEW,
    "review_": "people decided so: `r2i review check`, `r2i review questions`",
    "bad_fix": "mend the fixes: `r2i review questions`",
    "no_options": "--open keeps them as open questions",
    "not_measured": "leave --max-right out, or evaluate the model of --hard-for on them first",
    "too_easy": "raise --max-right",
}


@dataclass(frozen=True)
class Rules:
    """What makes a question an item.

    `min_agree`: teacher samples that agree at least. `per_dimension`: most items of one; None: all. `max_right`: most
    right tries; None: hardness does not matter; of the model `hard_for` in the full view, of None: the student's on
    the boxed image. `unreviewed`: also what nobody
    closed. `trained`: also questions of train rows; `unseen_images`: no image of the train rows. `open`: also
    questions without options. `balance`: give the right options' letters out anew.
    """

    min_agree: int = 1
    per_dimension: int | None = None
    max_right: int | None = None
    hard_for: str | None = None
    unreviewed: bool = False
    trained: bool = False
    unseen_images: bool = False
    open: bool = False
    balance: bool = True
    seed: int = 0


@dataclass
class Picked:
    """`items`: without pictures, in order of their ids. `left_out`: how many for which reason."""

    items: list[Row] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    considered: int = 0


Asked = tuple[str, str, str]


@dataclass(frozen=True)
class Known:
    """What the tables say.

    `votes`: ok rows of VOTES. `boxes`: by region_id. `sizes`: width and height by image_id. `tried`: rows of TRAIN by
    question_id, whatever became of them. `trained`, `trained_images`: ids of ok train rows. `measured`: by
    `asked_of`, right replies and all scored ones of `hard_for` in the full view.
    """

    votes: Sequence[Row]
    boxes: Mapping[str, Box]
    sizes: Mapping[str, tuple[int, int]]
    tried: Mapping[str, Row]
    trained: set[str]
    trained_images: set[str]
    measured: Mapping[Asked, tuple[int, int]] = field(default_factory=dict)


def pick(name: str, known: Known, decisions: Decisions, rules: Rules) -> Picked:
    """The items of the benchmark `name`, and what became of the other questions."""
    was = {vote["question_id"]: was_of(vote | {"box": known.boxes[vote["region_id"]]}) for vote in known.votes}
    outcomes = resolve(decisions, was.get)
    found, reasons = [], []
    for vote in sorted(known.votes, key=lambda vote: unit_of(rules.seed, "benchmark", name, vote["question_id"])):
        item, reason = _make_item(name, vote, known, outcomes, rules)
        reasons.append(reason)
        if item is not None:
            found.append(item)
    kept, dropped = _limit(found, rules.per_dimension)
    if rules.balance:
        kept = balance_letters(kept)
    counts = {slug: reasons.count(slug) + dropped.count(slug) for slug in LEFT_OUT}
    items = sorted(kept, key=lambda item: item["item_id"])
    return Picked(items, {slug: count for slug, count in counts.items() if count}, len(known.votes))


def _make_item(name: str, vote: Row, known: Known, outcomes: Outcomes, rules: Rules) -> tuple[Row | None, str]:
    """An item, or why there is none."""
    if reason := _unfit(vote, known, rules):
        return None, reason
    outcome = outcomes.of.get(vote["question_id"])
    state = outcome.state if outcome else "open"
    if state in ("rejected", "disputed"):
        return None, f"review_{state}"
    if state == "open" and not rules.unreviewed:
        return None, "not_reviewed"
    fix = outcome.fix if outcome and outcome.state == "fixed" else Fix()
    tried = _tried(vote, fix, known)
    item = _plain_item(name, vote, tried, known.boxes[vote["region_id"]])
    if fix.changes:
        changed = _fixed(item, fix, known.sizes[vote["image_id"]])
        if changed is None:
            return None, "bad_fix"
        item |= changed
    item |= {"verified": state != "open", "seen_image": vote["image_id"] in known.trained_images}
    if rules.hard_for:
        item["right"], item["tries"] = known.measured.get(asked_of(item), (0, 0))
    elif tried and _says(tried) == _says(item):
        item |= {"right": tried["right"], "tries": tried["tries"]}
    return (None, reason) if (reason := _unusable(item, rules)) else (item, "")


def _unfit(vote: Row, known: Known, rules: Rules) -> str:
    if vote["agree"] < rules.min_agree:
        return "few_agree"
    if vote["question_id"] in known.trained and not rules.trained:
        return "trained"
    return "trained_image" if rules.unseen_images and vote["image_id"] in known.trained_images else ""


def _tried(vote: Row, fix: Fix, known: Known) -> Row | None:
    """The train row, if it is about what the vote says or what the fix makes of it: not about a fix taken back."""
    tried = known.tried.get(vote["question_id"])
    now = vote | {name: text for name, text in fix.changes.items() if name in ("question", "answer")}
    return tried if tried and _says(tried) in (_says(vote), _says(now)) else None


def _says(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["question"], form_of(row["answer"])


def asked_of(row: Mapping[str, Any]) -> Asked:
    """What makes a prediction one of an item: item_id, question, answer (normal form). An item's texts may change."""
    return row["item_id"], *_says(row)


def _plain_item(name: str, vote: Row, tried: Row | None, box: Box) -> Row:
    """As the teachers made it, with the wrong answers of `overlay` where it got so far."""
    options = list(tried["options"]) if tried else []
    return {
        "item_id": make_id("benchmark", name, vote["question_id"]),
        "question_id": vote["question_id"],
        "image_id": vote["image_id"],
        "cluster_id": vote["image_id"],
        "question": vote["question"],
        "options": options,
        "answer": tried["answer"] if tried and options else vote["answer"],
        "label": tried["label"] if tried and options else "",
        "dimension": vote["dimension"],
        "box": box,
        "source": name,
        "agree": vote["agree"],
        "right": 0,
        "tries": 0,
    }


def _fixed(item: Row, fix: Any, size: tuple[int, int]) -> Row | None:
    """What a fix changes. With a new answer that is no option, the options are gone: they were wrong for another."""
    changed = fixed_texts(item, fix)
    if changed is None and fix.options is None:
        changed = (fixed_texts(item | {"options": []}, fix) or {}) | {"options": [], "label": ""}
    if changed is None:
        return None
    if fix.box:
        box = clip(Box(*fix.box), *size)
        if not area(box):
            return None
        changed["box"] = box
    return changed


def _unusable(item: Row, rules: Rules) -> str:
    if is_open(item) and not rules.open:
        return "no_options"
    if rules.max_right is not None and not item["tries"]:
        return "not_measured"
    if rules.max_right is not None and item["right"] > rules.max_right:
        return "too_easy"
    return "" if split_options(query_of(item)) == (item["question"], item["options"]) else "unreadable_query"


def query_of(item: Mapping[str, Any]) -> str:
    """Question and options as ZoomBench has them: one text."""
    return f"{item['question']}\n{format_options(item['options'])}" if item["options"] else str(item["question"])


def _limit(items: Sequence[Row], per_dimension: int | None) -> tuple[list[Row], list[str]]:
    """The first of each question on an image, the first so many of each dimension; and why others are not kept."""
    asked: set[tuple[str, str]] = set()
    counts: defaultdict[str, int] = defaultdict(int)
    kept, dropped = [], []
    for item in items:
        key = (item["image_id"], normalise(item["question"]) or item["question"])
        if key in asked:
            dropped.append("same_question")
        elif per_dimension is not None and counts[item["dimension"]] >= per_dimension:
            dropped.append("over_limit")
        else:
            asked.add(key)
            counts[item["dimension"]] += 1
            kept.append(item)
    return kept, dropped
