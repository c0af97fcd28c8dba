"""The picture of a row, read when a browser asks for it: found by table, column and id, never by a path.

Tables are sorted by their id and hold few rows a row group, whose smallest and largest id stand in the file's
footer: one row group is read for one picture, at any size of the table.
"""

import hashlib
import threading
from collections import OrderedDict
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from starlette.requests import Request
from starlette.responses import Response

from r2i.core.catalogue import BENCHMARK, IMAGES, REGIONS, TRAIN, Listed
from r2i.core.errors import ImageError, TableError
from r2i.core.images import SENT_QUALITY, jpeg_bytes, open_image, read_image
from r2i.core.photos import REFERENCE, Photos
from r2i.core.tables import Row
from r2i.pages.web.errors import BadRequest, NotFound

PICTURES: dict[str, tuple[Listed, tuple[str, ...]]] = {  # name in an address -> table, columns with pictures
    "images": (IMAGES, ("image",)),
    "regions": (REGIONS, ("crop",)),
    "train": (TRAIN, ("image",)),
    "benchmark": (BENCHMARK, ("image", "crop", "boxed")),
}
SIDES = (160, 320, 640, 1280)  # pixels, longest side of a smaller copy
HELD = 6  # row groups of pictures in memory, at most r2i.core.tables.GROUP_BYTES each
Stamp = tuple[tuple[str, int, int], ...]


def stamp_of(parts: list[Path]) -> Stamp:
    """What changes when a table is written anew: names, sizes and times (ns) of its files. Raises OSError."""
    stats = [(str(path), path.stat()) for path in parts]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


class Pictures:
    """Pictures of the tables in PICTURES; safe to use from several threads."""

    def __init__(self, photos: Photos | None = None) -> None:
        self.photos = photos or Photos.here()
        self._spans: dict[str, tuple[Stamp, list[tuple[Path, int, str, str]]]] = {}
        self._held: OrderedDict[tuple[Stamp, Path, int], pa.Table] = OrderedDict()
        self._lock = threading.Lock()

    def jpeg(self, name: str, column: str, row_id: str, side: int | None = None) -> bytes:
        """The bytes as stored, or a copy whose longest side is `side` (one of SIDES).

        Raises BadRequest for a table, column or side that is none; NotFound where there is no such row or it has no
        picture; TableError where the table is missing or the photograph's file is gone.
        """
        if name not in PICTURES or column not in PICTURES[name][1] or side not in (None, *SIDES):
            raise BadRequest("no such kind of picture")
        table = PICTURES[name][0]
        row = self._row(table, row_id, [*REFERENCE] if table is IMAGES else [column])
        data: bytes | None = row[column]
        if table is IMAGES:
            data = self.photos.jpeg(row) if row["status"] == "ok" else self.photos.shown(row)
        if data is None:
            raise NotFound("this row has no picture")
        return data if side is None else smaller(data, side)

    def _row(self, table: Listed, row_id: str, columns: list[str]) -> Row:
        """The row of this id. Raises NotFound, TableError."""
        try:
            stamp, spans = self._spans_of(table)
            for path, group, low, high in spans:
                if low <= row_id <= high:
                    rows = self._group(stamp, path, group, [*dict.fromkeys([table.key, *columns])])
                    found = rows.filter(pc.equal(rows[table.key], row_id))
                    if found.num_rows:
                        return found.to_pylist()[0]  # type: ignore[no-any-return]
        except (pa.ArrowException, OSError) as error:
            raise TableError(f"{table.folder} changed while it was read", "ask again") from error
        raise NotFound(f"no such row in {table.folder}")

    def _spans_of(self, table: Listed) -> tuple[Stamp, list[tuple[Path, int, str, str]]]:
        """(file, row group, smallest id, largest id) of the table as it is now."""
        parts = sorted(table.folder.glob("part-*.parquet"))
        stamp = stamp_of(parts)
        with self._lock:
            known = self._spans.get(table.name)
        if known is None or known[0] != stamp or not parts:
            known = (stamp, [span for path in table.parts() for span in _spans(path, table.key)])
            with self._lock:
                self._spans[table.name] = known
        return known

    def _group(self, stamp: Stamp, path: Path, group: int, columns: list[str]) -> pa.Table:
        key = (stamp, path, group)
        with self._lock:
            held = self._held.get(key)
            if held is not None and set(columns) <= set(held.column_names):
                self._held.move_to_end(key)
                return held
        with pq.ParquetFile(path, pre_buffer=False) as file:
            rows = file.read_row_group(group, columns=columns, use_threads=False)
        with self._lock:
            self._held[key] = rows
            while len(self._held) > HELD:
                self._held.popitem(last=False)
        return rows


def smaller(data: bytes, side: int) -> bytes:
    """A JPEG whose longest side is at most `side` pixels. Raises NotFound where `data` is no picture."""
    try:
        with open_image(data) as header:
            if max(header.size) <= side:
                return data
            if header.format == "JPEG":
                header.draft("RGB", (side, side))  # decodes an eighth of the pixels where that is enough
                image = header.convert("RGB")
            else:
                image = read_image(data)
        image.thumbnail((side, side))
        return jpeg_bytes(image, SENT_QUALITY)
    except ImageError as error:
        raise NotFound(f"this row's picture is {error.cause}") from error
    except Exception as error:  # hostile files make Pillow's decoders raise nearly anything
        raise NotFound("this row's picture can't be read") from error


def picture_answer(pictures: Pictures, request: Request) -> Response:
    """The answer to /picture?table=regions&column=crop&id=…&side=320."""
    asked = request.query_params
    side = asked.get("side", "")
    if side and not (side.isascii() and side.isdecimal() and len(side) < 6):
        raise BadRequest("no such kind of picture")
    data = pictures.jpeg(
        asked.get("table", ""), asked.get("column", ""), asked.get("id", ""), int(side) if side else None
    )
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}  # kept, but asked about: tables may be made anew
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type="image/jpeg", headers=headers)


def _spans(path: Path, key: str) -> list[tuple[Path, int, str, str]]:
    found = []
    meta = pq.read_metadata(path)
    place = meta.schema.to_arrow_schema().get_field_index(key)  # ids come first and are no struct
    for group in range(meta.num_row_groups):
        about = meta.row_group(group)
        stats = about.column(place).statistics
        if about.num_rows:
            known = stats is not None and stats.has_min_max
            found.append((path, group, stats.min if known else "", stats.max if known else "\U0010ffff"))
    return found
