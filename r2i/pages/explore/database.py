"""DuckDB over the tables' files: every value is bound, every name of a column is the schema's."""

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from r2i.core.errors import TableError
from r2i.core.tables import Row

MEMORY = "1GB"  # of DuckDB's own buffers at most; a million answers take a tenth
BATCH = 50_000  # rows handed over at once
SETTINGS = (
    "parquet_metadata_cache = true",
    "autoinstall_known_extensions = false",  # nothing is fetched
    "autoload_known_extensions = false",
    "temp_directory = ''",  # nothing is written
    "lock_configuration = true",
)


def save_memory() -> None:
    """Let the process give memory back that it no longer uses, for a server that lives for hours."""
    pa.set_memory_pool(pa.system_memory_pool())
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(-8, 2)  # M_ARENA_MAX: threads share two heaps instead of having eight a core


class Database:
    """One DuckDB in memory; every thread that asks has a cursor of its own."""

    def __init__(self) -> None:
        self._root = duckdb.connect(config={"memory_limit": MEMORY, "threads": min(4, os.cpu_count() or 1)})
        for setting in SETTINGS:
            self._root.execute(f"SET {setting}")
        self._local = threading.local()

    @contextmanager
    def _cursor(self, folder: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """Raises TableError where the files change under a query."""
        if not hasattr(self._local, "cursor"):
            self._local.cursor = self._root.cursor()
        try:
            yield self._local.cursor
        except (duckdb.Error, OSError, pa.ArrowException) as error:
            raise TableError(
                f"{folder} can't be read: it changed just now, or is damaged ({str(error).splitlines()[0][:300]})",
                "ask again when the stage that writes it has ended; else `r2i verify` says what mends it",
            ) from error

    def rows(self, folder: object, sql: str, values: Sequence[Any]) -> list[Row]:
        """Rows as dicts. `folder`: named in errors."""
        with self._cursor(str(folder)) as cursor:
            asked = cursor.execute(sql, values)
            names = [column[0] for column in asked.description or []]
            return [dict(zip(names, row, strict=True)) for row in asked.fetchall()]

    def batches(self, folder: object, sql: str, values: Sequence[Any]) -> Iterator[pa.RecordBatch]:
        """Rows as they come, BATCH at a time, never all at once."""
        with self._cursor(str(folder)) as cursor:
            yield from cursor.sql(sql, params=list(values)).to_arrow_reader(BATCH)


def columns_sql(names: Sequence[str]) -> str:
    """`t."a", t."b"`: `right` and the like are words of SQL."""
    return ", ".join(f't."{name}"' for name in names)
