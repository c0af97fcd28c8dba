"""A table's filter columns and short texts in memory: some 30 bytes a row, so that a filter needs no look at files.

Rows are counted in the order of the shards. All rows with the same filter values share a `cell`: counts of every
filter value are sums over cells, of which there are few. Texts are kept once each.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from r2i.pages.explore.shards import Numbers, Shards
from r2i.pages.explore.sheets import Sheet

Codes = npt.NDArray[np.int32]
Chosen = Mapping[str, Sequence[str]]  # facet -> values, any of which may be


@dataclass(frozen=True)
class Text:
    """A column of short texts. `codes`: (rows,) number of the row's text in `values`; -1: none."""

    codes: Codes
    values: pa.Array

    def matching(self, text: str) -> npt.NDArray[np.bool_]:
        """(rows,) whether the row's text has `text` in it, in whatever case."""
        hits = pc.fill_null(pc.match_substring(self.values, text, ignore_case=True), False)
        return np.append(hits.to_numpy(zero_copy_only=False), False)[self.codes]  # the last is that of -1


@dataclass(frozen=True)
class Index:
    """`cells`: (rows,) the row's cell; `codes`: (cells, facets) its values, as numbers of `values`."""

    sheet: Sheet
    shards: Shards
    cells: Codes
    codes: Codes
    values: list[list[str]]  # of each facet
    sorts: dict[str, npt.NDArray[np.float32]]  # (rows,) each
    texts: dict[str, Text]  # without those that would be too large
    serial: int = field(default_factory=itertools.count().__next__)  # no two are the same

    @property
    def rows(self) -> int:
        return len(self.cells)

    def matching(self, chosen: Chosen, but: str = "") -> npt.NDArray[np.bool_]:
        """(cells,) which of them have the chosen values; the facet `but` counts as not chosen."""
        keep = np.ones(len(self.codes), bool)
        for at, facet in enumerate(self.sheet.facets):
            wanted = chosen.get(facet.name)
            if wanted and facet.name != but:
                known = [number for number, value in enumerate(self.values[at]) if value in wanted]
                keep &= np.isin(self.codes[:, at], known)
        return keep

    def counts(self, among: Numbers | None) -> Numbers:
        """(cells,) rows of each cell; `among`: numbers of the rows that count, None: all."""
        cells = self.cells if among is None else self.cells[among]
        return np.bincount(cells, minlength=len(self.codes)).astype(np.int64)

    def facet_counts(self, chosen: Chosen, counts: Numbers) -> dict[str, list[tuple[str, int]]]:
        """For each facet its values with the rows that choosing them would show, most first."""
        found = {}
        for at, facet in enumerate(self.sheet.facets):
            keep = self.matching(chosen, facet.name)
            sums = np.bincount(self.codes[keep, at], counts[keep], len(self.values[at])).astype(int)
            wanted = set(chosen.get(facet.name, ()))
            listed = [(v, int(n)) for v, n in zip(self.values[at], sums, strict=True) if n or v in wanted]
            found[facet.name] = sorted(listed, key=lambda pair: (-pair[1], pair[0]))
        return found

    def select(self, chosen: Chosen, among: Numbers | None, sort: str = "", down: bool = False) -> Numbers:
        """Numbers of the rows that match, in the order of the shards, or by a column (rows without it last)."""
        keep = self.matching(chosen)
        if among is None:
            numbers = np.arange(self.rows) if keep.all() else np.flatnonzero(keep[self.cells])
        else:
            numbers = among if keep.all() else among[keep[self.cells[among]]]
        if sort not in self.sorts:
            return numbers
        values = self.sorts[sort][numbers]
        return numbers[np.argsort(-values if down else values, kind="stable")]  # NaN comes last either way


class Cells:
    """Gives rows with the same values the same cell, batch after batch."""

    def __init__(self, facets: int) -> None:
        self.known: list[dict[str, int]] = [{} for _ in range(facets)]  # value -> its number, of each facet
        self.cells: dict[bytes, int] = {}  # numbers of the values -> cell

    def add(self, columns: Sequence[pa.Array]) -> Codes:
        """(rows,) cells of a batch, of which `columns` holds each facet's values."""
        codes = np.stack([_coded(column, known) for column, known in zip(columns, self.known, strict=True)])
        keys = np.zeros(codes.shape[1], np.int64)
        for row in codes:
            keys = np.unique(keys * (int(row.max(initial=0)) + 1) + row, return_inverse=True)[1]
        _, example, same = np.unique(keys, return_index=True, return_inverse=True)
        combinations = np.ascontiguousarray(codes[:, example].T)
        numbers = [self.cells.setdefault(combination.tobytes(), len(self.cells)) for combination in combinations]
        return np.array(numbers, np.int32)[same]

    def codes(self) -> Codes:
        """(cells, facets) numbers of the values of each cell."""
        held = np.frombuffer(b"".join(self.cells), np.int32) if self.cells else np.zeros(0, np.int32)
        return held.reshape(-1, len(self.known))


def _coded(column: pa.Array, known: dict[str, int]) -> Codes:
    """Numbers of the values; `known` learns the new ones."""
    coded = column.dictionary_encode()
    numbers = [known.setdefault(value, len(known)) for value in coded.dictionary.to_pylist()]
    return np.array(numbers, np.int32)[coded.indices.to_numpy()]
