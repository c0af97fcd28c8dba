"""Count votes: pure functions of the answers."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from r2i.core.records import ABSTAINED, FAILED, NOT_ASKED, OK, REJECTED
from r2i.core.text import normalise


@dataclass(frozen=True)
class Group:
    """Answers that are the same. `answer`: its most common spelling; `forms`: their normal forms."""

    answer: str
    count: int
    forms: frozenset[str]


@dataclass(frozen=True)
class Tally:
    """What one question's samples came to. `lost`: calls that failed, whose answer nobody knows.

    `saved`: samples that were not asked for, since agreement was out of reach; they are no part of `asked`.
    """

    groups: tuple[Group, ...]
    asked: int
    lost: int
    saved: int = 0

    @property
    def valid(self) -> int:
        return sum(group.count for group in self.groups)

    @property
    def agree(self) -> int:
        return self.groups[0].count if self.groups else 0

    @property
    def tied(self) -> bool:
        return len(self.groups) > 1 and self.groups[0].count == self.groups[1].count


def group_answers(answers: Iterable[str]) -> tuple[Group, ...]:
    """Groups by normal form, largest first, then by text: the order of `answers` plays no part."""
    spellings: dict[str, Counter[str]] = {}
    for answer in answers:
        spellings.setdefault(normalise(answer), Counter())[answer] += 1
    return in_order(
        Group(min(found, key=lambda text: (-found[text], len(text), text)), found.total(), frozenset({form}))
        for form, found in spellings.items()
    )


def merge_groups(groups: Sequence[Group], partition: Iterable[Sequence[int]]) -> tuple[Group, ...]:
    """Join groups that mean the same. `partition`: places in `groups`; counts are added up here.

    The joint answer is the largest member's own spelling, never a text of the judge's.
    """
    merged = []
    for places in partition:
        members = in_order(groups[place] for place in places)
        forms = frozenset[str]().union(*(member.forms for member in members))
        merged.append(Group(members[0].answer, sum(member.count for member in members), forms))
    return in_order(merged)


def in_order(groups: Iterable[Group]) -> tuple[Group, ...]:
    return tuple(sorted(groups, key=lambda group: (-group.count, group.answer)))


def tally(answers: Sequence[tuple[str, str, str]]) -> Tally:
    """Count `(answer, status, reason)` of all samples of one question."""
    samples = [sample for sample in answers if sample[2] != NOT_ASKED]
    lost = sum(1 for _, status, reason in samples if status != OK and reason not in ABSTAINED)
    groups = group_answers(answer for answer, status, _ in samples if status == OK)
    return Tally(groups, len(samples), lost, len(answers) - len(samples))


def decide(count: Tally, min_agreement: int) -> tuple[str, str]:
    """`(status, reason)` of a question.

    - ok: `min_agreement` samples agree, and no other group is as large (else rejected, `tie`).
    - failed, `too_few_answers`: not enough agree, but would if the failed calls had agreed, too. The
      question was not decided, so it is no rejection; running again may decide it.
    - rejected, `too_few_answers`: the teachers replied, too often without an answer.
    - rejected, `no_agreement`: enough answers, and they differ; or so few agreed that the rest was saved.
    """
    if count.agree >= min_agreement:
        return (REJECTED, "tie") if count.tied else (OK, "")
    if count.agree + count.lost >= min_agreement:
        return FAILED, "too_few_answers"
    if count.saved:
        return REJECTED, "no_agreement"
    return REJECTED, "too_few_answers" if count.valid < min_agreement else "no_agreement"


def worth_judging(count: Tally, min_agreement: int) -> bool:
    """Whether joining groups could still change the outcome to ok: only then a judge is asked."""
    undecided = count.agree < min_agreement or count.tied
    return undecided and len(count.groups) > 1 and count.valid >= min_agreement
