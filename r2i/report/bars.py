"""Bar charts that are tables: (name, length in percent, what it says) a line. They read, print and shrink like one."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from scipy.stats import chisquare

from r2i.core.choices import LETTERS
from r2i.core.names import ModelNames
from r2i.report.charts import percent
from r2i.report.spread import SHARES, SIDES, Letters, Spread

Bar = tuple[str, float, str]
MOST = 24  # lines; the rest is one line
BIAS = 0.01  # p below which letters are called uneven


def bars_of(counts: Mapping[str, float], by_count: bool = True) -> list[Bar]:
    """A bar for each key, the longest 100; the rarest of very many together in one line."""
    order = sorted(counts, key=lambda key: (-counts[key], key)) if by_count else list(counts)
    total, longest = sum(counts.values()), max(counts.values(), default=0)
    lines = [_bar(str(key), counts[key], longest, total) for key in order[:MOST] if total]
    if rest := sum(counts[key] for key in order[MOST:]):
        lines.append(_bar(f"{len(order) - MOST:,} others", rest, longest, total))
    return lines


def _bar(name: str, count: float, longest: float, total: float) -> Bar:
    return name, round(min(100.0, 100 * count / longest), 2), f"{count:,.0f} ({percent(count / total)})"


def area_bars(spread: Spread) -> list[tuple[str, list[Bar]]]:
    """The regions' shares of their images, of kept and of rejected ones."""
    names = [f"{100 * low:g} to {100 * high:g} %" for low, high in pairwise(SHARES)]
    return [
        ({"ok": "Kept"}.get(status, "Rejected"), bars_of(_inner(names, counts), False))
        for status, counts in spread.areas.items()
        if sum(counts)
    ]


def side_bars(counts: Sequence[int]) -> list[Bar]:
    names = [f"{low:,} to {high - 1:,} px" for low, high in pairwise(SIDES)]
    return bars_of(_inner([*names, f"{SIDES[-1]:,} px and more"], counts), False)


def _inner(names: Sequence[str], counts: Sequence[int]) -> dict[str, float]:
    """From the first that is not empty to the last."""
    filled = [n for n, count in enumerate(counts) if count]
    return {names[n]: counts[n] for n in range(filled[0], filled[-1] + 1)} if filled else {}


def letter_cards(spread: Spread) -> list[dict[str, Any]]:
    """Letters of right options, with a test of evenness; letters that models chose, beside the right ones."""
    return [
        {"title": f"Right option, {what}", "bars": bars_of(_in_order(found.counts, found.expected), False),
         "said": bias_words(found)}
        for what, found in spread.letters.items() if found.counts
    ]  # fmt: skip


def _in_order(counts: Mapping[str, float], expected: Mapping[str, float]) -> dict[str, float]:
    return {letter: counts.get(letter, 0) for letter in LETTERS if letter in expected or letter in counts}


def bias_words(found: Letters) -> str:
    """Pearson's chi-square of the letters against options drawn evenly, in words."""
    letters = [letter for letter in LETTERS if found.expected.get(letter)]
    seen = [found.counts.get(letter, 0) for letter in letters]
    if len(letters) < 2 or sum(seen) != round(sum(found.expected.values())):
        return "Letters that its options do not have: no test."
    test = chisquare(seen, [found.expected[letter] for letter in letters])
    verdict = "letters are uneven" if test.pvalue < BIAS else "no sign of a bias"
    p = "p < 0.0001" if test.pvalue < 0.0001 else f"p = {test.pvalue:.2g}"
    small = " (fewer than 5 expected of some: take it with care)" if min(found.expected.values()) < 5 else ""
    return f"χ² = {test.statistic:.1f}, {len(letters) - 1} degrees of freedom, {p}: {verdict}{small}."


def chosen_table(
    spread: Spread, chosen: Mapping[str, Mapping[str, float]], models: ModelNames
) -> tuple[list[str], list[list[str]]]:
    """Share of each letter among right options of the benchmark and among each model's replies in the full view."""
    gold = spread.letters.get("benchmark", Letters())
    if not gold.counts or not chosen:
        return [], []
    columns: dict[str, Mapping[str, float]] = {"right option": gold.counts}
    columns |= {models.titles[model]: counts for model, counts in chosen.items() if counts}
    letters = [letter for letter in LETTERS if any(counts.get(letter) for counts in columns.values())]
    lines = [
        [letter, *(percent(counts.get(letter, 0) / max(1, sum(counts.values()))) for counts in columns.values())]
        for letter in letters
    ]
    return ["Letter", *columns], lines
