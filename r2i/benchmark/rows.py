"""Items as published -> rows of the common table: ids, the gold letter, the views."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from r2i.benchmark.groups import GROUPS, OWN
from r2i.benchmark.magnification import magnification_of
from r2i.core import paths
from r2i.core.boxes import BoxUnit
from r2i.core.choices import LETTERS, shuffle_options
from r2i.core.disk import disk_error
from r2i.core.drawing import make_boxed, make_crop
from r2i.core.errors import ImageError, R2IError
from r2i.core.ids import make_id
from r2i.core.images import perceptual_hash, read_image, sha256, stored_jpeg
from r2i.core.params import BenchmarkSource, Drawing, takes_unit
from r2i.core.records import BENCHMARK, FAILED, OK, REJECTED
from r2i.core.spool import Spool
from r2i.core.tables import Row
from r2i.core.text import careful_form
from r2i.importing.boxes import BoxForm, Quad, is_unit_unclear, join_boxes
from r2i.importing.pictures import PictureFolder, names_in
from r2i.importing.questions import find_label, read_letter, relabel, strip_tags
from r2i.importing.records import Record, read_text

View = Callable[[], bytes]
VIEWS = ("image", "crop", "boxed", "box", "crop_made", "magnification", "phash")
"""Columns that only an item with its picture has."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """One item as published, before its picture is read.

    `image`, `crop`, `boxed`: cells of r2i.importing.pictures, paths relative to `folder`. `boxes`: the region is
    what holds them all. `label`: its letter where that is certain, else it is found by `answer`. `shuffle`: the
    published order gives the answer away. `prompt`: the text that the release asks, as it stands
    there. `given`: columns of records.BENCHMARK that are taken as they are.
    """

    image: Any
    folder: Path
    question: str
    answer: str
    options: list[str] = field(default_factory=list)
    label: str = ""
    dimension: str = ""
    boxes: list[Quad] = field(default_factory=list)
    box_form: BoxForm = "xyxy"
    box_unit: BoxUnit = "pixels"
    crop: Any = None
    boxed: Any = None
    shuffle: bool = False
    fault: str = ""
    prompt: Any = None
    given: Mapping[str, Any] = field(default_factory=dict)


def draft_choice(record: Record, question: Any, by_letter: Mapping[str, str], answer: Any, **other: Any) -> Draft:
    """An item whose answer is the published letter of one of its options. `other`: fields of Draft."""
    letter = read_text(answer)
    other["prompt"] = released_text(other.get("prompt"), by_letter)
    return Draft(
        folder=record.folder,
        question=strip_tags(read_text(question)),
        answer=letter,
        options=list(by_letter.values()),
        label=relabel(by_letter, letter),
        **other,
    )


def released_text(prompt: Any, by_letter: Mapping[str, str]) -> Any:
    """`prompt`, or None where options are left out: those after them have other letters than the text says."""
    return prompt if list(by_letter) == list(LETTERS[: len(by_letter)]) else None


@dataclass
class _Known:
    """Of an image that was decoded before: its stored JPEG and its hash."""

    image: View
    phash: str | None


@dataclass
class RowMaker:
    """Rows of one source. A view's value is a function that gives its bytes: memory holds no pictures."""

    source: BenchmarkSource
    drawing: Drawing
    spool: Spool
    seen: dict[str, int] = field(default_factory=dict)
    images: dict[str, _Known] = field(default_factory=dict)  # by the sha256 of their bytes: ids come with tables, too
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)  # by image_id
    folders: dict[Path, PictureFolder] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.source.name or self.source.kind

    def rows(self, read: Callable[[], Iterable[Draft]]) -> tuple[list[Row], dict[str, int]]:
        """All rows, or `source.items` of them chosen by a hash of the item's id; and how many there were.

        `read` is called twice where rows are to be chosen. The counts are those before the choice: `rows`,
        `multiple_choice`, `open`. A second row that asks what an ok one asked is rejected as a duplicate; where their
        answers differ both fail: nobody knows which is right.
        """
        chosen = self._choose(read()) if self.source.items else None
        counts = {"rows": 0, "multiple_choice": 0, "open": 0}
        rows: list[Row] = []
        named: list[tuple[Row, PictureFolder, tuple[str, ...]]] = []
        boxed: list[Row] = []
        asked: dict[str, Row] = {}  # by the id before it was told from others: the ok row that has it
        for number, draft in enumerate(read()):
            counts["rows"] += 1
            counts["multiple_choice" if draft.options else "open"] += 1
            data, row = self._identify(draft, number)
            asks = row["item_id"]
            self._tell_apart(row)
            if chosen is not None and row["item_id"] not in chosen:
                continue
            if row["status"] == OK and asks in asked:
                row |= _repeated(row, asked[asks])
            if row["status"] == OK:
                row |= self._views(draft, data, row["image_id"])
                asked |= {asks: row} if row["status"] == OK else {}
            rows.append(row)
            named.append((row, self._folder(draft), tuple(names_in(draft.image, draft.crop, draft.boxed))))
            boxed += [row] if draft.boxes and "crop_made" not in draft.given else []  # a table of ours has pixels
        for row, folder, names in named:
            if row["status"] != FAILED and any(map(folder.is_shared, names)):
                row |= _failed("ambiguous_image")
        self._require_unit([row for row in boxed if row["status"] == OK])
        return rows, counts

    def _require_unit(self, boxed: Sequence[Row]) -> None:
        """Fail the rows, all of those with boxes, where params name no unit and the numbers allow two."""
        stated = "box_unit" in self.source.model_fields_set or not takes_unit(self.source)
        if not stated and is_unit_unclear((row["box"], self.sizes[row["image_id"]]) for row in boxed):
            for row in boxed:
                row |= _failed("box_unit_unclear")

    def _folder(self, draft: Draft) -> PictureFolder:
        if draft.folder not in self.folders:
            self.folders[draft.folder] = picture_folder(self.source, draft.folder)
        return self.folders[draft.folder]

    def _choose(self, drafts: Iterable[Draft]) -> set[str]:
        ids = {self._identify(draft, number)[1]["item_id"] for number, draft in enumerate(drafts)}
        return set(sorted(ids, key=lambda item_id: make_id("chosen", item_id))[: self.source.items])

    def _tell_apart(self, row: Row) -> None:
        """An id of its own for a row that has another's."""
        again = self.seen.get(row["item_id"], 0)
        self.seen[row["item_id"]] = again + 1
        if again:
            row["item_id"] = make_id(row["item_id"], again)

    def _identify(self, draft: Draft, number: int) -> tuple[bytes, Row]:
        """The image's bytes, and the row without its views."""
        given = draft.given
        try:
            data, fault = self._folder(draft).read(draft.image), draft.fault
        except ImageError as error:
            data, fault = b"", draft.fault or error.cause
        image_id = given.get("image_id") or (sha256(data) if data else "")
        # of a row without an image the number makes the id: nothing else need tell two of them apart
        key = (image_id, draft.question, *draft.options) if image_id else ("no image", number)
        item_id = given.get("item_id") or make_id(self.name, *key)
        row: Row = {**dict.fromkeys(BENCHMARK.names), "item_id": item_id, "image_id": image_id}
        row |= {"cluster_id": given.get("cluster_id") or image_id or item_id, "question": draft.question}
        row |= {"source": self.source.name or given.get("source") or self.source.kind, "dimension": draft.dimension}
        row |= {"group": self.source.group or GROUPS.get(self.source.kind, OWN)}
        told = isinstance(draft.prompt, str) and not draft.shuffle  # it lists the options as they were published
        row |= _gold(draft, item_id) | {"prompt": draft.prompt if told else None}
        if given.get("status", OK) != OK:
            return data, row | {"status": given["status"], "reason": given.get("reason") or ""}
        reason = fault or _missing(row)
        return data, row | {"status": FAILED if reason else OK, "reason": reason}

    def _views(self, draft: Draft, data: bytes, image_id: str) -> Row:
        plain = not draft.boxes and draft.crop is None and draft.boxed is None
        if plain and (known := self.images.get(sha256(data))):
            return {"image": known.image, "phash": draft.given.get("phash") or known.phash}
        try:
            return self._decode(draft, data, image_id)
        except ImageError as error:
            return {"status": FAILED, "reason": error.cause}
        except Exception as error:  # libraries raise anything on pictures that nobody has thought of
            if isinstance(error, R2IError) or disk_error(error):  # it concerns all rows
                raise
            return {"status": FAILED, "reason": "undrawable"}

    def _decode(self, draft: Draft, data: bytes, image_id: str) -> Row:
        image = read_image(data)
        given = {name: self._given_view(cell, draft) for name, cell in _cells(draft).items()}
        box = join_boxes(draft.boxes, draft.box_form, draft.box_unit, *image.size)
        known = self.images.get(sha256(data)) or _Known(
            self.spool.keep(stored_jpeg(data, image)), perceptual_hash(image)
        )
        self.images[sha256(data)], self.sizes[image_id] = known, image.size
        row: Row = {"image": known.image, "phash": draft.given.get("phash") or known.phash}
        row |= {name: view for name, (view, _) in given.items()}
        made = draft.given.get("crop_made")
        row["crop_made"] = bool(made) if "crop" in given else None
        if box:
            row["box"] = box
            if "crop" in given:
                row["magnification"] = magnification_of(image, box, given["crop"][1])
            else:
                row |= {"crop": self.spool.keep(make_crop(image, box, self.drawing.cut)), "crop_made": True}
                row["magnification"] = float(self.drawing.cut.upscale)
            if "boxed" not in given:
                row["boxed"] = self.spool.keep(make_boxed(image, box, self.drawing.outline))
        return row

    def _given_view(self, cell: Any, draft: Draft) -> tuple[View, Image.Image]:
        data = self._folder(draft).read(cell)
        image = read_image(data)
        return self.spool.keep(stored_jpeg(data, image)), image


def source_path(source: BenchmarkSource) -> Path:
    """Where a source lies; relative to the main workspace where `dvc exp run --temp` runs in another."""
    return paths.here_or_main(Path(source.path or ""))


def picture_folder(source: BenchmarkSource, folder: Path) -> PictureFolder:
    """The pictures that records in `folder` name: in the source's folder where it is one, and `folder` lies in it."""
    path = source_path(source)
    inside = path.is_dir() and folder.resolve().is_relative_to(path.resolve())
    return PictureFolder(folder, path if inside else folder)


def _repeated(row: Row, first: Row) -> Row:
    """What changes of a row that asks what `first` asked; `first` fails too where its answer is another."""
    if (row["label"], careful_form(row["answer"])) == (first["label"], careful_form(first["answer"])):
        return {"status": REJECTED, "reason": "duplicate"}
    first |= _failed("conflicting_answers")
    return _failed("conflicting_answers")


def _failed(reason: str) -> Row:
    """What changes of a row that had its views already."""
    return {**dict.fromkeys(VIEWS), "status": FAILED, "reason": reason}


def _cells(draft: Draft) -> Mapping[str, Any]:
    """The views that came with the benchmark."""
    cells = {"crop": draft.crop, "boxed": draft.boxed}
    return {name: cell for name, cell in cells.items() if cell not in (None, "", [], {"bytes": None, "path": None})}


def _gold(draft: Draft, item_id: str) -> Row:
    """Options in the order shown, the right one's letter, and its text."""
    said = find_label(draft.options, draft.answer)
    label = draft.label or said
    if said not in ("", label) and not read_letter(draft.answer):  # the answer's text contradicts its letter
        label = ""
    if label not in LETTERS[: len(draft.options)] or not label:
        return {"options": list(draft.options), "label": "", "answer": draft.answer}
    options, answer = list(draft.options), draft.options[LETTERS.index(label)]
    if draft.shuffle:
        others = [text for place, text in enumerate(options) if place != LETTERS.index(label)]
        options, label = shuffle_options(answer, others, item_id)
    return {"options": options, "label": label, "answer": answer}


def _missing(row: Row) -> str:
    """Why a row can't be asked or scored."""
    if not row["question"] or not row["answer"]:
        return "no_question_or_answer"
    if len(row["options"]) > len(LETTERS):
        return "too_many_options"
    return "no_gold_option" if row["options"] and not row["label"] else ""
