"""What an id names, and in which table; for one that names nothing, what looks like it."""

import difflib

import pyarrow.compute as pc

from r2i.core.catalogue import ANSWERS, BENCHMARK, IMAGES, QUESTIONS, REGIONS, TRAIN, VOTES, Listed
from r2i.core.errors import R2IError, TableError

KINDS: dict[str, tuple[tuple[Listed, str], ...]] = {  # kind -> where such an id stands: the first is its own table
    "row": ((TRAIN, "row_id"),),
    "question": ((QUESTIONS, "question_id"), (VOTES, "question_id"), (TRAIN, "question_id")),
    "answer": ((ANSWERS, "answer_id"),),
    "region": ((REGIONS, "region_id"), (QUESTIONS, "region_id"), (TRAIN, "region_id")),
    "image": ((IMAGES, "image_id"), (REGIONS, "image_id"), (TRAIN, "image_id")),
    "item": ((BENCHMARK, "item_id"),),
}
SHOWN = 5  # ids that look like the one that was asked for
ENDS = 4  # digits at either end that such an id shares


def kind_of(name: str) -> str:
    """A key of KINDS. Raises R2IError that says which tables were looked through, and names similar ids."""
    missing: dict[str, Listed] = {}
    looked: dict[str, Listed] = {}
    for kind, places in KINDS.items():
        for table, column in places:
            try:
                if table.find(column, name, [column]):
                    return kind
                looked[table.name] = table
            except TableError:
                missing[table.name] = table
    raise _unknown(name, looked, missing)


def _unknown(name: str, looked: dict[str, Listed], missing: dict[str, Listed]) -> R2IError:
    where = ", ".join(looked) or "no table"
    gone = f"; not here: {', '.join(missing)} (`dvc pull` brings them)" if missing else ""
    near = similar(name)
    hint = f"similar: {'; '.join(near)}" if near else "ids stand in the first columns of the tables and in the report"
    return R2IError(f"no id {name!r} in {where}{gone}", hint)


def similar(name: str) -> list[str]:
    """`kind id` of ids that begin or end as `name` does, the most similar first."""
    found: dict[str, str] = {}
    for kind, ((table, column), *_) in KINDS.items():
        try:
            for batch in table.batches([column]):
                ids = batch.column(0)
                mask = pc.or_(pc.starts_with(ids, name[:ENDS]), pc.ends_with(ids, name[-ENDS:]))
                found |= dict.fromkeys(ids.filter(mask).to_pylist(), kind)
        except TableError:
            continue
    ratio = {known: difflib.SequenceMatcher(None, name, known).ratio() for known in found}
    return [f"{found[known]} {known}" for known in sorted(ratio, key=lambda known: (-ratio[known], known))[:SHOWN]]
