"""What a student sees and what its teacher sees: rows with the crop of their region beside their own picture."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from r2i.core.crops import choose_rows, crop_of, prompt_of_crop
from r2i.core.errors import R2IError
from r2i.core.ids import unit_of
from r2i.core.params import Cut, Opd
from r2i.core.prompts import load_prompt
from r2i.core.tables import Row


@dataclass(frozen=True)
class Shown:
    """What one of the two is given: a text, and JPEG bytes in their order."""

    prompt: str
    images: tuple[bytes, ...]


@dataclass(frozen=True)
class Pair:
    """One prompt of a step. `key`: what the rollout's seed depends on."""

    key: str
    student: Shown
    teacher: Shown


def make_pairs(rows: Iterable[Row], params: Opd, cut: Cut, style: str) -> tuple[list[Pair], list[Pair], dict[str, int]]:
    """Pairs whose student sees a row's own picture; one a question whose student sees the crop; counts of rows
    without a crop (`no_crop`).

    A question's crop is the picture of its row in the view `crop`, else it is cut from another row's. Raises R2IError
    where no row shows the full image with a crop to teach it, or `show_answer` meets a row without an answer.
    """
    rows = list(rows)
    crops = find_crops(rows, cut)
    afar: list[Pair] = []
    close: dict[str, Pair] = {}
    without = 0
    for row in rows:
        crop = crops.get(row["question_id"])
        if crop is None:
            without += 1
            continue
        prompt = prompt_of_crop(row, style)
        told = _tell(prompt, row, style) if params.show_answer else prompt
        close.setdefault(row["question_id"], Pair(row["question_id"], Shown(prompt, (crop,)), Shown(told, (crop,))))
        if row["view"] != "crop":
            seen = (row["image"], crop) if params.show_full else (crop,)
            afar.append(Pair(row["row_id"], Shown(row["prompt"], (row["image"],)), Shown(told, seen)))
    if not afar:
        raise R2IError(
            f"none of {len(rows)} train rows shows a full image whose crop is known: opd has nothing to teach",
            "rows need the view full or boxed, and a box: see overlay.views, or the columns of imported rows",
        )
    return afar, list(close.values()), {"no_crop": without}


def find_crops(rows: Iterable[Row], cut: Cut) -> dict[str, bytes]:
    """By question, its crop as JPEG bytes; a question whose box is missing or can't be cut has none."""
    found = {
        question: crop_of(row["view"], row["image"], row["box"], cut) for question, row in choose_rows(rows).items()
    }
    return {question: crop for question, crop in found.items() if crop is not None}


def _tell(prompt: str, row: Mapping[str, str], style: str) -> str:
    if not row["answer"]:
        raise R2IError(
            f"opd.show_answer: row {row['row_id']} has no answer", "set it to false, or take rows that were voted on"
        )
    return load_prompt("train", "told", style).fill(prompt=prompt, answer=row["answer"])


def in_steps(afar: list[Pair], close: list[Pair], params: Opd, seed: int) -> list[Pair]:
    """All pairs of the run, step by step: of each step's `batch`, `crop_share` come from `close`.

    Each list is gone through in an order of ids and the seed, again and again.
    """
    orders = [sorted(pairs, key=lambda pair: unit_of(seed, "opd order", pair.key)) for pairs in (afar, close)]
    crops = round(params.crop_share * params.batch) if close else 0
    counts = (params.batch - crops, crops)
    return [
        order[(step * count + place) % len(order)]
        for step in range(params.steps)
        for order, count in zip(orders, counts, strict=True)
        for place in range(count)
    ]
