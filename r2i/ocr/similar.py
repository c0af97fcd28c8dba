"""Texts that look alike: how far apart two are, and wrong ones near a right one."""

import random
from collections.abc import Sequence

ALIKE = (
    "O0QDC", "1lI7|", "5S", "8B3", "2Z", "6Gb", "MN", "EF", "PR", "VY", "UV", "WVM", "KX", "TIL", "4A", "9g", "ceo",
    "nhu", "ij", "ft", "ao", "mn", "vy", "pq", "bd", "rv", "kx", "sz",
)  # fmt: skip
"""Signs that are taken for one another, small ones from afar."""


def distance(one: str, other: str) -> int:
    """Levenshtein's edit distance."""
    row = list(range(len(other) + 1))
    for at, sign in enumerate(one, 1):
        before, row[0] = row[0], at
        for place, opposite in enumerate(other, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (sign != opposite))
    return row[-1]


def likeness(one: str, other: str) -> float:
    """1 for texts that are the same but for case and spaces, 0 for such that share nothing."""
    one, other = fold(one), fold(other)
    longest = max(len(one), len(other))
    return 1 - distance(one, other) / longest if longest else 0.0


def fold(text: str) -> str:
    """For comparing what readers say: without case and spaces."""
    return "".join(text.casefold().split())


def misread(text: str, words: Sequence[str], seed: int, count: int) -> list[str]:
    """`count` wrong texts, or fewer, none of which is `text` but for case and spaces.

    Every third is another text of the same picture (`words`), those of the nearest length first; the others differ from
    `text` by one or two signs that are taken for one another, else by two neighbours that changed places.
    """
    draw = random.Random(f"{seed} misread {text}")
    near = [word for word in _changed(text, draw) if fold(word) != fold(text)]
    others = sorted({word for word in words if likeness(word, text) < 0.75}, key=lambda w: (abs(len(w) - len(text)), w))
    chosen: list[str] = []
    while len(chosen) < count and (near or others):
        from_picture = others and (len(chosen) % 3 == 2 or not near)
        word = (others if from_picture else near).pop(0)
        if fold(word) not in map(fold, chosen):
            chosen.append(word)
    return chosen


def _changed(text: str, draw: random.Random) -> list[str]:
    """Texts near `text`, in an order that `draw` decides: one sign changed, then two, then two swapped."""
    once = [
        text[:at] + other + text[at + 1 :]
        for at, sign in enumerate(text)
        for group in ALIKE
        if (twin := _as_in(sign, group))
        for other in (_cased(one, sign) for one in group if one != twin and one != "|")
        if other != sign
    ]
    once = sorted(set(once))
    draw.shuffle(once)
    twice = []
    for number, one in enumerate(once):
        other = once[(number + 1) % len(once)]
        both = "".join(b if a == c else a for a, b, c in zip(one, other, text, strict=True))
        twice.append(both)
    swapped = [text[:at] + text[at + 1] + text[at] + text[at + 2 :] for at in range(len(text) - 1)]
    draw.shuffle(swapped)
    return [*once[:2], *twice, *once[2:], *(word for word in swapped if word == word.strip())]


def _as_in(sign: str, group: str) -> str:
    """The sign as `group` has it, in either case; "" where it is not in it."""
    return next((one for one in (sign, sign.upper(), sign.lower()) if one in group), "")


def _cased(sign: str, like: str) -> str:
    return sign.lower() if like.islower() else sign.upper() if like.isupper() else sign
