"""The images of a run by id, whether the table holds their bytes or refers to the pool."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from r2i.core.paths import IMAGES
from r2i.core.photos import REFERENCE, Photos
from r2i.core.records import IMAGES as SCHEMA
from r2i.core.records import OK
from r2i.core.tables import iter_rows
from r2i.endpoint.base import Picture
from r2i.endpoint.pictures import PictureRows, Pictures


def read_images(
    photos: Photos, ids: Iterable[str] | None = None, max_pixels: int | None = None, folder: Path = IMAGES
) -> Mapping[str, Picture]:
    """The JPEGs of `sample`'s images by id, for `ids` alone or for all that are ok, as `read_pictures` gives them.

    Raises TableError where an id has no row; a picture does when it is loaded and its pool has lost it.
    """
    if ids is None:
        rows = iter_rows(folder, SCHEMA, "sample", ["image_id", "status"])
        ids = (row["image_id"] for row in rows if row["status"] == OK)
    return Pictures(_ImageRows(folder, photos, set(ids)), max_pixels)


class _ImageRows(PictureRows):
    def __init__(self, folder: Path, photos: Photos, wanted: set[str]) -> None:
        super().__init__(folder, SCHEMA, "sample", "image", wanted)
        self.photos = photos

    def read(self, name: str) -> bytes:
        place = self.place[name]
        group = bisect_right(self.starts, place) - 1
        rows: pa.Table = self.recent.get(group, partial(self._read_rows, group))
        return self.photos.jpeg(rows.slice(place - self.starts[group], 1).to_pylist()[0])

    def _read_rows(self, group: int) -> pa.Table:
        path, number = self.groups[group]
        with pq.ParquetFile(path) as file:
            return file.read_row_group(number, columns=list(REFERENCE))
