"""What each stage got right, as shares with the number of cases they rest on."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from r2i.audit.oracle import Oracle
from r2i.core.boxes import Box, iou
from r2i.core.records import OK, REJECTED
from r2i.core.tables import Row

COVERS = 0.5  # least IoU of a region with an object that it is said to have found
Count = dict[str, int]
"""`{"true": cases that are right, "n": cases}`. Those of two shards are added; `as_shares` makes shares of them."""


def count(verdicts: Iterable[bool]) -> Count:
    """How many verdicts are True, of how many."""
    counted = [bool(verdict) for verdict in verdicts]
    return {"true": sum(counted), "n": len(counted)}


def count_by(pairs: Iterable[tuple[Any, bool]]) -> dict[str, Count]:
    """One count for each group; `pairs` are (group, verdict)."""
    groups: defaultdict[str, list[bool]] = defaultdict(list)
    for group, verdict in pairs:
        groups[str(group)].append(verdict)
    return {group: count(verdicts) for group, verdicts in sorted(groups.items())}


def as_shares(counts: Mapping[str, Any]) -> dict[str, Any]:
    """Nested counts as `{"value": share of True, "n": cases}`; the value is None where there is no case."""
    if counts.keys() == {"true", "n"}:
        return {"value": counts["true"] / counts["n"] if counts["n"] else None, "n": counts["n"]}
    return {name: as_shares(inner) for name, inner in counts.items()}


def audit_regions(oracle: Oracle, regions: Sequence[Row]) -> dict[str, Count]:
    """Recall: objects that a kept region covers. Precision: kept regions that cover an object."""
    boxes: defaultdict[str, list[Box]] = defaultdict(list)
    for region in regions:
        if region["status"] == OK:
            boxes[region["image_id"]].append(Box(*region["box"]))
    things = {image: [Box(*thing["box"]) for thing in found] for image, found in oracle.things.items()}
    return {
        "recall": count(_covered(box, boxes[image]) for image, found in things.items() for box in found),
        "precision": count(_covered(box, things.get(image, [])) for image, found in boxes.items() for box in found),
    }


def _covered(box: Box, others: Iterable[Box]) -> bool:
    return any(iou(box, other) >= COVERS for other in others)


def audit_questions(oracle: Oracle, questions: Sequence[Row]) -> dict[str, dict[str, Count]]:
    """Before and after validation: has the question a true answer, and does it name one object alone?"""
    kept = [row for row in questions if row["status"] == OK]
    checked = [row for row in questions if row["status"] == REJECTED and row["checks"] is not None]
    return {
        "before": _count_questions(oracle, kept + checked),
        "after": _count_questions(oracle, kept),
        "dropped": _count_questions(oracle, checked),
    }


def _count_questions(oracle: Oracle, rows: Sequence[Row]) -> dict[str, Count]:
    answerable = [oracle.answer(row) is not None for row in rows]
    unambiguous = [oracle.is_unambiguous(row) for row in rows]
    return {
        "answerable": count(answerable),
        "unambiguous": count(unambiguous),
        "good": count(a and u for a, u in zip(answerable, unambiguous, strict=True)),
    }


def audit_answers(oracle: Oracle, answers: Sequence[Row], questions: Mapping[str, Row]) -> dict[str, Any]:
    """Accuracy of single answers. `questions`: rows of records.QUESTIONS by question_id."""
    judged = [
        (row["teacher"], oracle.is_right(questions[row["question_id"]], row["answer"]))
        for row in answers
        if row["status"] == OK and row["question_id"] in questions
    ]
    return {"single": count(right for _, right in judged), "by_teacher": count_by(judged)}


def audit_votes(oracle: Oracle, votes: Sequence[Row]) -> dict[str, Any]:
    """Accuracy of the most common answer: of all questions, of the kept ones, of the dropped ones."""
    judged = [(row, oracle.is_right(row, row["answer"])) for row in votes if row["answer"]]
    return {
        "majority": count(right for _, right in judged),
        "kept": count(right for row, right in judged if row["status"] == OK),
        "dropped": count(right for row, right in judged if row["status"] != OK),
        "by_agreement": count_by((row["agree"], right) for row, right in judged),
    }


def audit_train(oracle: Oracle, rows: Sequence[Row]) -> dict[str, Any]:
    """Label precision of the training set, one case for each question, whatever its views."""
    once = list({row["question_id"]: row for row in rows}.values())
    judged = [(row, oracle.is_right(row, row["answer"])) for row in once if row["answer"]]
    kept = [(row, right) for row, right in judged if row["status"] == OK]
    return {
        "label_precision": count(right for _, right in kept),
        "by_dimension": count_by((row["dimension"], right) for row, right in kept),
        "unambiguous": count(oracle.is_unambiguous(row) for row, _ in kept),
        "too_easy": count(right for row, right in judged if row["reason"] == "too_easy"),
    }


def find_contamination(sampled: Mapping[str, str | None], benchmark: Mapping[str, str | None]) -> dict[str, int]:
    """Benchmark images that are also sampled images: by id, and by perceptual hash.

    Both: hashes by image_id (None: a plain picture, like no other).
    """
    hashes = set(sampled.values()) - {None}
    return {
        "benchmark_images": len(benchmark),
        "shared_image_ids": len(sampled.keys() & benchmark.keys()),
        "shared_phashes": sum(phash in hashes for phash in benchmark.values()),
    }
