"""The pictures beside rows: which they are, and which boxes are drawn over them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from r2i.core.errors import TableError
from r2i.core.names import VIEWS
from r2i.core.tables import Row
from r2i.pages.explore.relatives import ids_of
from r2i.pages.explore.sheets import PICTURE_OF, SHEETS
from r2i.pages.explore.tables import Tables

BOXES = 200  # drawn on one image at most


@dataclass(frozen=True)
class Drawn:
    """A box over an image. `box`: xyxy, pixels of the full image."""

    box: tuple[int, int, int, int]
    href: str
    title: str
    status: str
    main: bool = False


@dataclass(frozen=True)
class Picture:
    """`src` without its size; `width`, `height`: pixels of the full image that `boxes` refer to."""

    src: str
    alt: str
    width: int = 0
    height: int = 0
    boxes: list[Drawn] = field(default_factory=list)

    def at(self, side: int) -> str:
        return f"{self.src}&side={side}"


def row_href(slug: str, row: Mapping[str, Any], came: str = "") -> str:
    """The page of a row. `came`: the query of the list that it was found in."""
    asked = {"id": row[SHEETS[slug].key]}
    if slug == "predictions":
        asked["run"] = row["run"]
    if came:
        asked["from"] = came
    return f"/row/{slug}?{urlencode(asked)}"


def picture_src(table: str, column: str, row_id: str) -> str:
    return f"/picture?{urlencode({'table': table, 'column': column, 'id': row_id})}"


def pictures_of(tables: Tables, slug: str, rows: list[Row]) -> list[Picture | None]:
    """For each row the picture that a gallery shows; None where it has none."""
    if slug == "images":
        boxes = boxes_of(tables, [row["image_id"] for row in rows if row["status"] == "ok"])
        return [full_picture(row, boxes.get(row["image_id"], [])) for row in rows]
    if slug in PICTURE_OF:
        return [_own_picture(slug, row) for row in rows]
    if slug == "predictions":
        columns: dict[str, str] = {name: view.column for name, view in VIEWS.items()}
        return [
            Picture(picture_src("benchmark", columns.get(row["view"], "image"), row["item_id"]), _alt(slug, row))
            for row in rows
        ]
    regions = {row["question_id"]: row["region_id"] for row in rows}
    return [
        Picture(picture_src("regions", "crop", regions[row["question_id"]]), _alt(slug, row))
        if regions[row["question_id"]]
        else None
        for row in rows
    ]


def _own_picture(slug: str, row: Row) -> Picture | None:
    """What the row itself holds; of a train row that is none (too easy), the crop that it asks about."""
    table, column = PICTURE_OF[slug]
    if row["status"] == "ok":
        return Picture(picture_src(table, column, row[SHEETS[slug].key]), _alt(slug, row))
    if slug == "train" and row["region_id"]:
        return Picture(picture_src("regions", "crop", row["region_id"]), _alt("regions", row))
    return None


def _alt(slug: str, row: Row) -> str:
    what = {"regions": "Crop", "train": "Train image", "items": "Full view"}.get(slug, "Crop")
    return f"{what} of {row[SHEETS[slug].key][:16]}"


def boxes_of(tables: Tables, image_ids: list[str], main: str = "") -> dict[str, list[Drawn]]:
    """The regions of images, to be drawn over them; none where there is no such table."""
    columns = ["region_id", "image_id", "box", "status", "reason"]
    try:
        rows = tables.find("regions", "image_id", image_ids, columns, most=BOXES * max(1, len(image_ids)))
    except TableError:
        return {}
    found: dict[str, list[Drawn]] = {}
    for row in rows:
        if row["box"] and len(row["box"]) == 4:
            state = row["status"] + (f": {row['reason']}" if row["reason"] else "")
            left, top, right, bottom = row["box"]
            title, own = f"Region {row['region_id']}, {state}", row["region_id"] == main
            drawn = Drawn((left, top, right, bottom), row_href("regions", row), title, row["status"], own)
            found.setdefault(row["image_id"], []).append(drawn)
    return found


def full_picture(image: Row, boxes: list[Drawn]) -> Picture | None:
    """An image row's picture under its boxes; also of one that was rejected, as a near duplicate."""
    if image["status"] == "failed" or not image["width"] or not image["height"]:
        return None
    source = picture_src("images", "image", image["image_id"])
    return Picture(source, f"Image {image['source']}", image["width"], image["height"], boxes)


def row_pictures(tables: Tables, slug: str, row: Row) -> list[Picture]:
    """For a row's page: the full image with its boxes, then what the row itself shows."""
    found: list[Picture | None] = []
    ids = ids_of(tables, slug, row)
    try:
        images = tables.find("images", "image_id", [row["image_id"]], most=1)
    except TableError:
        images = []
    if images:
        boxes = boxes_of(tables, [row["image_id"]], main=ids.get("region_id", ""))
        found.append(full_picture(images[0], boxes.get(row["image_id"], [])))
    if slug in ("items", "predictions"):
        views = (("image", "full view"), ("crop", "crop view"), ("boxed", "box drawn"))
        sources = [(picture_src("benchmark", column, row["item_id"]), text) for column, text in views]
        found += [Picture(source, f"Benchmark item, {text}") for source, text in sources]
    elif "region_id" in ids:
        found.append(Picture(picture_src("regions", "crop", ids["region_id"]), "Crop, as teachers see it"))
    if slug == "train" and row["status"] == "ok":
        found.append(Picture(picture_src("train", "image", row["row_id"]), f"Train image, {row['view']} view"))
    return [picture for picture in found if picture]
