"""Votes counted: pure functions of one question's answers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from r2i.core.choices import read_offered
from r2i.core.records import ABSTAINED, FAILED, NOT_ASKED, OK, REJECTED
from r2i.core.tables import Row
from r2i.grading.equality import group_equal, is_equal


@dataclass(frozen=True)
class AnswerGroup:
    """Equivalent answers, as they were said. `answer`: the most common spelling; `count`: samples; `spellings`: all."""

    answer: str
    count: int
    spellings: frozenset[str]


@dataclass(frozen=True)
class VoteCount:
    """The samples of one question, counted.

    `groups`: largest first. `asked`: samples that were asked for; `lost`: those of them whose call failed, so that
    nobody knows their answer. `saved`: samples that were not asked for, since agreement was out of reach.
    """

    groups: tuple[AnswerGroup, ...]
    asked: int
    lost: int
    saved: int = 0

    @property
    def valid(self) -> int:
        """Samples that are answers."""
        return sum(group.count for group in self.groups)

    @property
    def agree(self) -> int:
        """Samples in the largest group."""
        return self.groups[0].count if self.groups else 0

    @property
    def is_tied(self) -> bool:
        """Whether the second group is as large as the first."""
        return len(self.groups) > 1 and self.groups[0].count == self.groups[1].count


class VoteResult(NamedTuple):
    """The columns of the same names in VOTES."""

    status: str
    reason: str


def count_samples(samples: Sequence[Row]) -> VoteCount:
    """Count all samples of one question (rows of ANSWERS: answer, status, reason)."""
    asked = [sample for sample in samples if sample["reason"] != NOT_ASKED]
    lost = sum(1 for sample in asked if sample["status"] != OK and sample["reason"] not in ABSTAINED)
    groups = group_answers(sample["answer"] for sample in asked if sample["status"] == OK)
    return VoteCount(groups, len(asked), lost, len(samples) - len(asked))


def group_answers(answers: Iterable[str]) -> tuple[AnswerGroup, ...]:
    """Group what is surely equal (r2i.grading.equality), largest first, then by text: the order plays no part."""
    return sort_groups(
        AnswerGroup(min(counts, key=lambda text: (-counts[text], len(text), text)), counts.total(), frozenset(counts))
        for counts in group_equal(answers)
    )


def merge_groups(groups: Sequence[AnswerGroup], partition: Iterable[Sequence[int]]) -> tuple[AnswerGroup, ...]:
    """Merge groups that mean the same. `partition`: places in `groups`; their counts are added up.

    The merged answer is the largest member's spelling, never a text that a judge wrote.
    """
    merged = []
    for places in partition:
        members = sort_groups(groups[place] for place in places)
        spellings = frozenset[str]().union(*(member.spellings for member in members))
        merged.append(AnswerGroup(members[0].answer, sum(member.count for member in members), spellings))
    return sort_groups(merged)


def sort_groups(groups: Iterable[AnswerGroup]) -> tuple[AnswerGroup, ...]:
    """Largest first, then by text."""
    return tuple(sorted(groups, key=lambda group: (-group.count, group.answer)))


def decide(count: VoteCount, min_agreement: int) -> VoteResult:
    """Decide one question.

    - ok: `min_agreement` samples agree, and no other group is as large (else rejected, `tie`).
    - failed, `too_few_answers`: not enough agree, but would if the failed calls had agreed, too. The
      question was not decided, so it is no rejection; running again may decide it.
    - rejected, `too_few_answers`: the teachers replied, too often without an answer.
    - rejected, `no_agreement`: enough answers, and they differ; or so few agreed that the rest was saved.
    """
    if count.agree >= min_agreement:
        return VoteResult(REJECTED, "tie") if count.is_tied else VoteResult(OK, "")
    if count.agree + count.lost >= min_agreement:
        return VoteResult(FAILED, "too_few_answers")
    if not count.saved and count.valid < min_agreement:
        return VoteResult(REJECTED, "too_few_answers")
    return VoteResult(REJECTED, "no_agreement")


def check_offered(question: str, answer: str) -> VoteResult:
    """Rejected, `not_offered`, where a question leaves the choice between texts none of which is the vote's answer."""
    offered = read_offered(question)
    if offered and not any(is_equal(text, answer) for text in offered):
        return VoteResult(REJECTED, "not_offered")
    return VoteResult(OK, "")


def is_worth_judging(count: VoteCount, min_agreement: int) -> bool:
    """Whether merging groups could still make the question ok: a judge is asked only then."""
    is_undecided = count.agree < min_agreement or count.is_tied
    return is_undecided and len(count.groups) > 1 and count.valid >= min_agreement
