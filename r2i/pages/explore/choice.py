"""What a page shows, as its address says it: filters, search, order, page. An address is all that there is to keep."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from r2i.pages.explore.sheets import ROLES, Sheet
from r2i.pages.web.errors import BadRequest

LOOKS = {"table": 50, "gallery": 24}  # rows on a page
LONGEST = 200  # characters of a search
FORMATS = ("csv", "jsonl", "parquet", "ids")


@dataclass(frozen=True)
class Choice:
    """`facets`: values of which a row must have one, for each facet; `ids`: column -> id that a row must refer to;
    `long`: long texts are searched too; `page` counts from 1."""

    sheet: Sheet
    facets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    long: bool = False
    sort: str = ""
    down: bool = False
    page: int = 1
    look: str = "table"

    @classmethod
    def of(cls, sheet: Sheet, asked: QueryParams, also: tuple[str, ...] = ()) -> Self:
        """Raises BadRequest for what the table has not. `also`: names that others read."""
        facets = {name: tuple(dict.fromkeys(asked.getlist(name))) for name in (f.name for f in sheet.facets)}
        ids = {name: asked[name] for name in ROLES if name in asked and name in sheet.table.schema.names}
        known = {*facets, *ids, "text", "long", "sort", "down", "page", "look", *also}
        for name in asked:
            if name not in known:
                raise BadRequest(
                    f"{sheet.title.lower()} have no filter {name[:60]!r}", f"there are: {', '.join(facets)}"
                )
        text, sort, look = asked.get("text", "").strip(), asked.get("sort", ""), asked.get("look", "table")
        page = asked.get("page", "1")
        if len(text) > LONGEST:
            raise BadRequest(f"a search has at most {LONGEST} characters", "shorten it")
        if sort not in ("", *sheet.sorts):
            raise BadRequest(f"can't sort by {sort[:60]!r}", f"by {', '.join(sheet.sorts) or 'nothing'}")
        if look not in LOOKS or not (page.isascii() and page.isdecimal() and 0 < len(page) < 9 and int(page)):
            raise BadRequest("there is no such page", "go to the first")
        chosen = {name: values for name, values in facets.items() if values}
        long, down = bool(asked.get("long")), bool(asked.get("down"))
        return cls(sheet, chosen, ids, text, long, sort, down, int(page), look)

    def query(self) -> str:
        """The part of the address after the question mark."""
        pairs = [(facet.name, value) for facet in self.sheet.facets for value in self.facets.get(facet.name, ())]
        pairs += list(self.ids.items())
        for name in ("text", "long", "sort", "down"):
            if value := getattr(self, name):
                pairs.append((name, "1" if value is True else value))
        if self.page > 1:
            pairs.append(("page", str(self.page)))
        if self.look != "table":
            pairs.append(("look", self.look))
        return urlencode(pairs)

    def href(self, **changes: Any) -> str:
        """The address of this page with `changes`, on its first page unless told."""
        query = replace(self, **({"page": 1} | changes)).query()
        return f"/t/{self.sheet.slug}" + (f"?{query}" if query else "")

    def toggled(self, name: str, value: str) -> str:
        """The address with a filter's value chosen, or no longer."""
        before = self.facets.get(name, ())
        after = tuple(v for v in before if v != value) if value in before else (*before, value)
        return self.href(facets={n: v for n, v in {**self.facets, name: after}.items() if v})

    def without(self, name: str) -> str:
        """The address without an id that rows must refer to."""
        return self.href(ids={n: v for n, v in self.ids.items() if n != name})

    def hidden(self) -> list[tuple[str, str]]:
        """What a form for another search hands on."""
        pairs = [(name, value) for name, values in self.facets.items() for value in values]
        rest = {"sort": self.sort, "down": "1" if self.down else "", "look": self.look if self.look != "table" else ""}
        return pairs + list(self.ids.items()) + [(name, value) for name, value in rest.items() if value]

    @property
    def size(self) -> int:
        """Rows on a page."""
        return LOOKS[self.look]
