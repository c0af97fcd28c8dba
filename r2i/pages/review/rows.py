"""Voted questions and benchmark items as what people decide about."""

import sys
from collections.abc import Iterable, Mapping

from r2i.core import paths
from r2i.core.catalogue import BENCHMARK, IMAGES, REGIONS, TRAIN, VOTES
from r2i.core.params import Params
from r2i.core.photos import Photos
from r2i.core.records import OK
from r2i.core.tables import Row
from r2i.endpoint.base import Picture
from r2i.endpoint.pictures import read_images, read_pictures
from r2i.pages.review.subjects import Subjects, each
from r2i.review.decisions import Decision, Frame, Was, by_subject, form_of, read_decisions, was_of
from r2i.review.strata import item_stratum, question_stratum

REVIEWED = "review_"  # reasons of rows that an earlier run dropped for what people decided


class Questions(Subjects):
    """Voted questions, or those of them that became train rows, or the others."""

    path = paths.REVIEWED_QUESTIONS

    def __init__(self, frame: Frame, params: Params) -> None:
        super().__init__()
        self.frame, self.photos = frame, Photos.of(params)
        self.tables = (VOTES, REGIONS, IMAGES) if frame == "voted" else (VOTES, REGIONS, IMAGES, TRAIN)

    def _read_strata(self) -> dict[str, str]:
        trained = _trained() if self.frame != "voted" else set()
        found = {}
        for row in each(VOTES, ["question_id", "dimension", "agree", "valid", "status"]):
            wanted = self.frame == "voted" or (self.frame == "trained") == (row["question_id"] in trained)
            if row["status"] == OK and wanted:
                found[row["question_id"]] = sys.intern(question_stratum(row))
        return found

    def _find(self, ids: set[str]) -> dict[str, Row]:
        names = ["question_id", "region_id", "image_id", "question", "dimension", "answer", "agree", "valid", "groups"]
        found = {
            row["question_id"]: row
            for row in each(VOTES, [*names, "status"], "question_id", ids)
            if row["status"] == OK
        }
        regions = {row["region_id"] for row in found.values()}
        boxes = {row["region_id"]: row["box"] for row in each(REGIONS, ["region_id", "box"], "region_id", regions)}
        found = {name: row for name, row in found.items() if row["region_id"] in boxes}  # tables of two runs: not now
        options = _options(ids)
        for name, row in found.items():
            given, label = options.get(name, ([], ""))
            row |= {"id": name, "box": boxes[row["region_id"]], "options": given, "label": label, "shown": True}
        return found

    def _open(self, ids: Iterable[str]) -> Mapping[str, Picture]:
        return read_images(self.photos, {self._rows[name]["image_id"] for name in ids})

    def _picture_id(self, row: Row) -> str:
        return str(row["image_id"])


class Items(Subjects):
    """Benchmark items, as they were before any decision was applied to them."""

    frame: Frame = "items"
    path = paths.REVIEWED_ITEMS
    tables = (BENCHMARK,)

    def was(self, row: Row, decisions: Iterable[Decision] = ()) -> Was:
        """The table may hold what a decision made of the item: then what that decision was about."""
        now = was_of(row, options=True)
        for one in decisions:
            if one.verdict == "fix" and one.was != now and _is_fixed(one, now):
                return one.was
        return now

    def _read_strata(self) -> dict[str, str]:
        rows = each(BENCHMARK, ["item_id", "dimension", "status", "reason"])
        found = {row["item_id"]: sys.intern(item_stratum(row)) for row in rows if _counts(row)}
        moved = by_subject([one for one in read_decisions(self.path).all if one.fix.dimension])
        fixed = self._find(set(moved)) if moved else {}
        was = {name: self.was(row, moved[name]).model_dump() for name, row in fixed.items()}
        return found | {name: sys.intern(item_stratum(one)) for name, one in was.items()}

    def _find(self, ids: set[str]) -> dict[str, Row]:
        names = ["item_id", "image_id", "question", "dimension", "answer", "options", "label", "box", "source"]
        return {
            row["item_id"]: row | {"id": row["item_id"], "shown": row["status"] == OK}
            for row in each(BENCHMARK, [*names, "status", "reason"], "item_id", ids)
            if _counts(row)
        }

    def _open(self, ids: Iterable[str]) -> Mapping[str, Picture]:
        return read_pictures(BENCHMARK.folder, BENCHMARK.schema, BENCHMARK.stage, "image", ids)

    def _picture_id(self, row: Row) -> str:
        return str(row["item_id"])


def _is_fixed(decision: Decision, now: Was) -> bool:
    """Whether `now` is what the decision's fix made."""
    made = decision.was.model_dump() | decision.fix.changes
    same = form_of(made["answer"]) == form_of(now.answer)
    return same and all(made[name] == getattr(now, name) for name in ("question", "box", "options", "dimension"))


def _counts(row: Row) -> bool:
    return bool(row["status"] == OK or row["reason"].startswith(REVIEWED))


def _trained() -> set[str]:
    """Questions of the train rows, with those that people drew from them: what they decided may have dropped them."""
    drawn = {one.subject for one in read_decisions(paths.REVIEWED_QUESTIONS).standing() if one.frame == "trained"}
    rows = each(TRAIN, ["question_id", "status"])
    return {row["question_id"] for row in rows if row["status"] == OK or row["question_id"] in drawn}


def _options(ids: set[str]) -> dict[str, tuple[list[str], str]]:
    """Options and letter of the questions that are train rows."""
    found: dict[str, tuple[list[str], str]] = {}
    if TRAIN.folder.is_dir():
        for row in each(TRAIN, ["question_id", "options", "label"], "question_id", ids):
            if row["options"]:
                found[row["question_id"]] = row["options"], row["label"]
    return found
