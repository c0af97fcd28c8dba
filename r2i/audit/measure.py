"""What each stage got right, as shares with the number of cases they rest on."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from r2i.audit.oracle import Oracle
from r2i.core.boxes import Box, iou
from r2i.core.records import OK, REJECTED
from r2i.core.tables import Row

COVERS = 0.5  # least IoU of a region with an object that it is said to have found
Share = dict[str, Any]


def share(verdicts: Iterable[bool]) -> Share:
    """`{"value": share of True, "n": cases}`; the value is None where there is no case."""
    counted = [bool(verdict) for verdict in verdicts]
    return {"value": sum(counted) / len(counted) if counted else None, "n": len(counted)}


def shares_by(pairs: Iterable[tuple[Any, bool]]) -> dict[str, Share]:
    """One share for each group; `pairs` are (group, verdict)."""
    groups: defaultdict[str, list[bool]] = defaultdict(list)
    for group, verdict in pairs:
        groups[str(group)].append(verdict)
    return {group: share(verdicts) for group, verdicts in sorted(groups.items())}


def pool_shares(left: Any, right: Any) -> Any:
    """The shares of two shards' cases together, wherever they stand in nested mappings of equal form."""
    if left.keys() == right.keys() == {"value", "n"}:
        cases = left["n"] + right["n"]
        true = sum(round(each["value"] * each["n"]) for each in (left, right) if each["n"])
        return {"value": true / cases if cases else None, "n": cases}
    return {
        key: pool_shares(left[key], right[key]) if key in left and key in right else (left | right)[key]
        for key in sorted(left.keys() | right.keys())
    }


def audit_regions(oracle: Oracle, regions: Sequence[Row]) -> dict[str, Share]:
    """Recall: objects that a kept region covers. Precision: kept regions that cover an object."""
    boxes: defaultdict[str, list[Box]] = defaultdict(list)
    for region in regions:
        if region["status"] == OK:
            boxes[region["image_id"]].append(Box(*region["box"]))
    things = {image: [Box(*thing["box"]) for thing in found] for image, found in oracle.things.items()}
    return {
        "recall": share(_covered(box, boxes[image]) for image, found in things.items() for box in found),
        "precision": share(_covered(box, things.get(image, [])) for image, found in boxes.items() for box in found),
    }


def _covered(box: Box, others: Iterable[Box]) -> bool:
    return any(iou(box, other) >= COVERS for other in others)


def audit_questions(oracle: Oracle, questions: Sequence[Row]) -> dict[str, dict[str, Share]]:
    """Before and after validation: has the question a true answer, and does it name one object alone?"""
    kept = [row for row in questions if row["status"] == OK]
    checked = [row for row in questions if row["status"] == REJECTED and row["checks"] is not None]
    return {
        "before": _question_shares(oracle, kept + checked),
        "after": _question_shares(oracle, kept),
        "dropped": _question_shares(oracle, checked),
    }


def _question_shares(oracle: Oracle, rows: Sequence[Row]) -> dict[str, Share]:
    answerable = [oracle.answer(row) is not None for row in rows]
    unambiguous = [oracle.is_unambiguous(row) for row in rows]
    return {
        "answerable": share(answerable),
        "unambiguous": share(unambiguous),
        "good": share(a and u for a, u in zip(answerable, unambiguous, strict=True)),
    }


def audit_answers(oracle: Oracle, answers: Sequence[Row], questions: Mapping[str, Row]) -> dict[str, Any]:
    """Accuracy of single answers. `questions`: rows of records.QUESTIONS by question_id."""
    judged = [
        (row["teacher"], oracle.is_right(questions[row["question_id"]], row["answer"]))
        for row in answers
        if row["status"] == OK and row["question_id"] in questions
    ]
    return {"single": share(right for _, right in judged), "by_teacher": shares_by(judged)}


def audit_votes(oracle: Oracle, votes: Sequence[Row]) -> dict[str, Any]:
    """Accuracy of the most common answer: of all questions, of the kept ones, of the dropped ones."""
    judged = [(row, oracle.is_right(row, row["answer"])) for row in votes if row["answer"]]
    return {
        "majority": share(right for _, right in judged),
        "kept": share(right for row, right in judged if row["status"] == OK),
        "dropped": share(right for row, right in judged if row["status"] != OK),
        "by_agreement": shares_by((row["agree"], right) for row, right in judged),
    }


def audit_train(oracle: Oracle, rows: Sequence[Row]) -> dict[str, Any]:
    """Label precision of the training set, one case for each question, whatever its views."""
    once = list({row["question_id"]: row for row in rows}.values())
    judged = [(row, oracle.is_right(row, row["answer"])) for row in once if row["answer"]]
    kept = [(row, right) for row, right in judged if row["status"] == OK]
    return {
        "label_precision": share(right for _, right in kept),
        "by_dimension": shares_by((row["dimension"], right) for row, right in kept),
        "unambiguous": share(oracle.is_unambiguous(row) for row, _ in kept),
        "too_easy": share(right for row, right in judged if row["reason"] == "too_easy"),
    }


def find_contamination(train: Sequence[Mapping[str, Any]], benchmark: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Benchmark images that are also training images: by id, and by perceptual hash.

    Both hold `image_id` and `phash` (None: a plain picture, like no other) of each image.
    """
    ids, hashes = {row["image_id"] for row in train}, {row["phash"] for row in train} - {None}
    seen = {row["image_id"]: row["phash"] for row in benchmark}
    return {
        "benchmark_images": len(seen),
        "shared_image_ids": len(ids & set(seen)),
        "shared_phashes": sum(phash in hashes for phash in seen.values()),
    }
