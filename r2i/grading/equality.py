"""Whether two answers to one question are equal: decided here alone, for votes, rewards, evaluation and distractors.

Three outcomes. True and False where it is plain; None where it isn't: that is for the judge, wherever there is one.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import combinations

from r2i.core.text import same_answer
from r2i.grading.mathematics import same_mathematics
from r2i.grading.numbers import compare_numbers, same_value
from r2i.grading.phrases import polarity

Comparison = Callable[[str, str], bool | None]


def compare_texts(said: str, gold: str) -> bool | None:
    """True for texts that are surely the same (r2i.core.text.same_answer); never False: another text may mean it."""
    return True if same_answer(said, gold) else None


def compare_polarity(said: str, gold: str) -> bool | None:
    """Yes and no, true and false, where both say nothing else."""
    left, right = polarity(said, whole=True), polarity(gold, whole=True)
    if left is None or right is None or (left in ("yes", "no")) != (right in ("yes", "no")):
        return None
    return left == right


COMPARISONS: tuple[tuple[str, Comparison], ...] = (
    ("exact", compare_texts),
    ("yes_no", compare_polarity),
    ("number", compare_numbers),
    ("mathematics", same_mathematics),
)
"""By the rule's name in r2i.grading.RULES. The first that decides counts."""


@lru_cache(maxsize=2**14)  # a vote compares each pair of a question's answers several times
def compare_answers(said: str, gold: str) -> tuple[str, bool | None]:
    """The rule that decided, and whether `said` equals `gold`; ("none", None) where no rule is sure."""
    for rule, compare in COMPARISONS:
        if (equal := compare(said, gold)) is not None:
            return rule, equal
    return "none", None


def is_equal(said: str, gold: str) -> bool:
    """Whether two answers are surely equal, whichever of them is the right one."""
    return compare_answers(said, gold)[1] is True or compare_answers(gold, said)[1] is True


def may_be_equal(one: str, other: str) -> bool:
    """Whether a text may be another's answer in other words: too near to stand beside it as a wrong answer."""
    return is_equal(one, other) or same_value(one, other)


def group_equal(answers: Iterable[str]) -> list[Counter[str]]:
    """Answers that are surely equal together, each group with its spellings and their counts.

    The order of `answers` plays no part. "5" equals "5 people" and "5 cars", which differ: where not all of a group
    are equal to one another, only those stay together that are the same text but for case and markup.
    """
    counts = Counter(answers)
    texts = sorted(counts)
    near: dict[str, set[str]] = {text: {text} for text in texts}
    for one, other in combinations(texts, 2):
        if is_equal(one, other):
            near[one].add(other)
            near[other].add(one)
    groups: list[Counter[str]] = []
    left = set(texts)
    for text in texts:
        if text in left:
            for together in _split(_reach(text, near), near):
                groups.append(Counter({name: counts[name] for name in together}))
                left -= set(together)
    return groups


def _reach(text: str, near: dict[str, set[str]]) -> list[str]:
    found, open_ends = {text}, [text]
    while open_ends:
        fresh = near[open_ends.pop()] - found
        found |= fresh
        open_ends += fresh
    return sorted(found)


def _split(texts: list[str], near: dict[str, set[str]]) -> list[list[str]]:
    """One group where all are equal to all; else those that have the same equals, which no order can change."""
    by_equals: dict[frozenset[str], list[str]] = {}
    for text in texts:
        by_equals.setdefault(frozenset(near[text]), []).append(text)
    return list(by_equals.values())
