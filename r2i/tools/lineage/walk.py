"""From an id back to where it came from: one nested value, for `--json` and for the text."""

from typing import Any

from r2i.core import paths
from r2i.core.catalogue import ANSWERS, BENCHMARK, IMAGES, QUESTIONS, REGIONS, TRAIN, VOTES, Listed, predictions
from r2i.core.errors import R2IError, TableError
from r2i.core.images import sha256
from r2i.core.names import VIEWS
from r2i.core.params import Pool, load_params
from r2i.core.photos import Photos
from r2i.core.tables import Row
from r2i.repo.profile import read_run_or_none
from r2i.tools.lineage.calls import call, calls_of
from r2i.tools.lineage.ids import kind_of
from r2i.tools.lineage.revision import revision_of

CALLS = {"model", "endpoint", "prompt_sha256", "sampling", "reply_key", "check", "judge", "listing", "distractor_calls",
         "try_calls"}  # fmt: skip
TEACHING = ("sample", "crop", "question", "answer", "vote", "overlay")


class Reader:
    """Rows of the tables that are here; `missing` names the others."""

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}

    def rows(self, table: Listed, column: str, value: str | None, columns: list[str] | None = None) -> list[Row]:
        if not value:
            return []
        try:
            return table.find(column, value, columns)
        except TableError as error:
            self.missing[str(table.folder)] = error.cause
            return []

    def row(self, table: Listed, value: str | None) -> Row:
        """The one of this id; {} where there is none."""
        return next(iter(self.rows(table, table.key, value)), {})


def trace(name: str, kind: str = "", reader: Reader | None = None) -> dict[str, Any]:
    """The whole story of an id. Raises R2IError where no table here holds it.

    `kind`: of the id, a key of r2i.tools.lineage.ids.KINDS, where it is known; `reader`: another way to find rows.
    """
    name = name.strip()
    kind = kind or kind_of(name)
    reader = reader or Reader()
    story: dict[str, Any] = {"id": name, "kind": kind} | _WALKS[kind](reader, name)
    story["missing"] = reader.missing
    evaluated = [table.stage for table in predictions()]
    story["revision"] = revision_of(["benchmark", *evaluated] if kind == "item" else TEACHING)
    return story


def _row(reader: Reader, name: str) -> Row:
    rows = reader.rows(TRAIN, "row_id", name)
    return _chain(reader, rows[0]["question_id"], rows)


def _question(reader: Reader, name: str) -> Row:
    return _chain(reader, name, reader.rows(TRAIN, "question_id", name))


def _answer(reader: Reader, name: str) -> Row:
    return _question(reader, reader.row(ANSWERS, name)["question_id"])


def _chain(reader: Reader, question_id: str, rows: list[Row]) -> Row:
    """A question with its train rows, back to the image."""
    question, vote = reader.row(QUESTIONS, question_id), reader.row(VOTES, question_id)
    answers = reader.rows(ANSWERS, "question_id", question_id)
    first = next((found for found in (question, vote, *rows) if found), {})
    region = reader.row(REGIONS, first.get("region_id"))
    told = [_plain(row) | _picture(reader, TRAIN, row["row_id"], "image") for row in rows]
    return {
        "rows": told,
        "question": _plain(question),
        "vote": _plain(vote),
        "region": _told_region(reader, region),
        "image": _image(reader, first.get("image_id")),
        "calls": calls_of(
            rows[0] if rows else {}, region, question, vote, sorted(answers, key=lambda a: (a["teacher"], a["sample"]))
        ),
    }


def _region(reader: Reader, name: str) -> Row:
    region = reader.row(REGIONS, name)
    questions = reader.rows(QUESTIONS, "region_id", name, ["question_id", "question", "status", "reason"])
    rows = reader.rows(TRAIN, "region_id", name, ["row_id", "question_id", "view", "status", "reason"])
    image_id = region.get("image_id") or next((row["image_id"] for row in reader.rows(TRAIN, "region_id", name)), None)
    return {
        "region": _told_region(reader, region),
        "questions": questions,
        "rows": rows,
        "image": _image(reader, image_id),
        "calls": call("list", region.get("listing")),
    }


def _image_story(reader: Reader, name: str) -> Row:
    columns = ["region_id", "box", "score", "status", "reason"]
    rows = reader.rows(TRAIN, "image_id", name, ["row_id", "question_id", "view", "status", "reason"])
    return {"image": _image(reader, name), "regions": reader.rows(REGIONS, "image_id", name, columns), "rows": rows}


def _item(reader: Reader, name: str) -> Row:
    item = reader.row(BENCHMARK, name)
    order: dict[str, int] = {view: place for place, view in enumerate(VIEWS)}
    found = {
        table.folder.name: sorted(
            reader.rows(table, "item_id", name),
            key=lambda row: (order.get(row["view"], len(order)), row["view"], row["sample"]),
        )
        for table in predictions()
    }
    picture = _picture(reader, BENCHMARK, name, "image")
    return {"item": _plain(item) | picture, "predictions": found, "image": _image(reader, item["image_id"])}


_WALKS = {
    "row": _row, "question": _question, "answer": _answer, "region": _region, "image": _image_story, "item": _item
}  # fmt: skip


def _plain(row: Row) -> Row:
    """Without the calls, which are told apart."""
    return {name: value for name, value in row.items() if name not in CALLS}


def _told_region(reader: Reader, region: Row) -> Row:
    return (_plain(region) | _picture(reader, REGIONS, region["region_id"], "crop")) if region else {}


def _picture(reader: Reader, table: Listed, name: str, column: str) -> Row:
    """Hash and size of a picture in a table."""
    data = next((row[column] for row in reader.rows(table, table.key, name, [column])), None)
    return {f"{column}_sha256": sha256(data) if data else None, f"{column}_bytes": len(data) if data else 0}


def _image(reader: Reader, image_id: str | None) -> Row:
    """The image's row with its pool's licence, and whether its bytes are still those that were sampled."""
    row = reader.row(IMAGES, image_id)
    if not row:
        return {"image_id": image_id} if image_id else {}
    pool = next((pool for pool in _pools() if pool.name == row["pool"]), None)
    held = reader.rows(IMAGES, "image_id", image_id, ["image"])[0]["image"]
    return row | {
        "kind": pool.kind if pool else None,
        "licence": pool.licence if pool else None,
        "bytes": _bytes_state(row, held),
    }


def _bytes_state(row: Row, held: bytes | None) -> str:
    if held is not None:
        same = sha256(held) == row["image_id"]
        return "in the table, the source's own" if same else "in the table, encoded anew from the source"
    if row["status"] != "ok":
        return "none: the image was not taken"
    try:
        Photos(_pools()).checked(row["image_id"], row["pool"], row["member"], row["start"], row["size"])
    except TableError as error:
        return error.cause
    return "in the pool, and they hash to image_id"


def _pools() -> list[Pool]:
    """Of the chosen profile; none where params can't be read, or the images here are of another one."""
    try:
        params, run = load_params(), read_run_or_none()
    except R2IError:
        return []
    own = params.chosen.has("sample") and (run is None or run.owns(paths.IMAGES))
    return params.chosen.sample.pools if own else []
