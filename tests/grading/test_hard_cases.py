"""Vote, reward and evaluation on replies that are easily misread: none of them contradicts a person."""

import pytest
from grading.hard_cases import GROUPS, HARD_CASES, HardCase

from r2i.grading.flexible import grade_flexibly
from r2i.grading.strict import grade_strictly
from r2i.vote.count import group_answers

DISAGREEMENTS = {
    ("3", "None"): "evaluation knows the phrases by which a reply declines; a span that says None is left to the judge",
    ("B", "None of these"): "as above",
    ("→", "The arrow is →."): "evaluation reads sentences; a span was asked for a bare answer, so the judge reads it",
    ("B", "答案是B"): "as above, in Chinese",
    ("A", "答案是B"): "as above",
    ("→", ""): "an empty span has the wrong format and pays nothing; to evaluation nothing was said",
    (
        "B",
        "B. crimson",
    ): "evaluation takes the letter that was asked for; the reward leaves its text to the judge",
}
"""Why vote, reward and evaluation don't say the same of a reply: (gold, what is said)."""


def vote(case: HardCase) -> bool | None:
    """Whether the vote counts it together with the gold answer; what it leaves apart is for its judge."""
    return True if len(group_answers([case.said, case.gold])) == 1 else None


def reward(case: HardCase) -> bool | None:
    return grade_strictly(f"<answer>{case.said}</answer>", case.label or case.gold, case.options).correct


def evaluate(case: HardCase, span: bool = False) -> bool | None:
    said = f"<answer>{case.said}</answer>" if span else case.said
    item = {"options": case.options, "label": case.label, "answer": case.answer}
    return grade_flexibly(said, item).correct


def test_every_family_is_there_and_no_case_twice() -> None:
    assert len(HARD_CASES) >= 150
    assert len({(tuple(case.options), case.gold, case.said) for case in HARD_CASES}) == len(HARD_CASES)
    assert all(len(group) >= 10 for group in GROUPS)


@pytest.mark.parametrize("case", HARD_CASES, ids=lambda case: f"{case.gold}-{case.said}")
def test_no_reader_contradicts_a_person(case: HardCase) -> None:
    said = [reward(case), evaluate(case), evaluate(case, span=True)] + ([] if case.options else [vote(case)])
    if case.said.strip():
        assert all(verdict in (None, case.person) for verdict in said), said
    else:
        assert not any(said)


def test_the_three_disagree_only_where_that_is_justified() -> None:
    found = set()
    for case in HARD_CASES:
        said = {reward(case), evaluate(case)}
        if not case.options and vote(case):  # apart is not different: the vote's judge decides
            said.add(True)
        if len(said) > 1:
            found.add((case.gold, case.said))
    assert found == set(DISAGREEMENTS)


def test_few_cases_that_are_plain_to_a_person_are_left_open() -> None:
    plain = [case for case in HARD_CASES if case.person is not None]
    for reader in (reward, evaluate):
        left = [case for case in plain if reader(case) is None]
        assert len(left) <= 0.05 * len(plain), left


def test_whatever_a_person_can_not_decide_nobody_decides() -> None:
    assert not [case for case in HARD_CASES if case.person is None and evaluate(case) is not None]
