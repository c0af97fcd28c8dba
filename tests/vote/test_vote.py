"""Voting."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from made_rows import question_row
from teacher_fakes import FakeModel, failed

from r2i.core.errors import ParamsError, TableError
from r2i.core.params import Vote
from r2i.core.parse import ReplyError
from r2i.core.records import VOTES
from r2i.core.tables import Row, read_table, write_table
from r2i.endpoint.base import Request
from r2i.endpoint.flow import run_jobs
from r2i.endpoint.ledger import Ledger
from r2i.vote.collect import count_vote_rows, count_votes, find_open_questions, make_votes, summarise
from r2i.vote.count import VoteCount, count_samples, decide, group_answers, is_worth_judging, merge_groups
from r2i.vote.judge import GROUPS_FORM, JudgedCount, judge_job, parse_groups

RULES = Vote(min_agreement=6)
JUDGED = Vote.model_validate({"min_agreement": 6, "judge": "llm", "endpoint": {}})
ALL = JUDGED.model_copy(update={"judge_all": True})
STANDINS = {"-": ("", "failed", "no_answer"), "saved": ("", "rejected", "not_asked")}


def samples(*answers: str | None) -> list[Row]:
    """Answer, status and reason of each sample; None: a call that failed; "-": a reply without an answer;
    "saved": not asked for."""
    lost = ("", "failed", "timeout")
    values = [lost if text is None else STANDINS.get(text, (text, "ok", "")) for text in answers]
    return [dict(zip(("answer", "status", "reason"), value, strict=True)) for value in values]


def answer_rows(number: int, *answers: str | None) -> list[Row]:
    return [
        {
            "answer_id": f"{number}-{place}", "question_id": question_row(number)["question_id"],
            "teacher": "ab"[place % 2], **sample,
        }
        for place, sample in enumerate(samples(*answers))
    ]  # fmt: skip


def collect_votes(questions: list[Row], answers: list[Row], params: Vote, judge: FakeModel | None = None) -> list[Row]:
    counts = count_votes(questions, answers)
    return make_votes(questions, counts, judge_votes(questions, counts, judge, params) if judge else {}, params)


def judge_votes(
    questions: list[Row], counts: Mapping[str, VoteCount], judge: FakeModel, params: Vote, ledger: Ledger | None = None
) -> dict[str, JudgedCount]:
    asked = find_open_questions(questions, counts, params)
    ids = [question["question_id"] for question in asked]
    jobs = (judge_job(question, counts[question["question_id"]], judge, params, 0) for question in asked)
    return dict(zip(ids, run_jobs(jobs, ledger), strict=True))


def vote_on(*answers: str | None, params: Vote = RULES, judge: FakeModel | None = None) -> Row:
    return collect_votes([question_row(1)], answer_rows(1, *answers), params, judge)[0]


def grouping(*groups: tuple[list[int], int]) -> str:
    return "They mean: " + json.dumps({"groups": [{"answers": places, "count": count} for places, count in groups]})


def test_spellings_of_one_answer_are_one_group() -> None:
    groups = group_answers(["5", "five", "Five.", "**5**", "6"])
    assert [(group.answer, group.count) for group in groups] == [("5", 4), ("6", 1)]


def test_the_most_common_spelling_speaks_for_the_group() -> None:
    assert group_answers(["Red", "red", "Red"])[0].answer == "Red"


def test_groups_do_not_depend_on_the_order_of_answers() -> None:
    answers = ["red", "Red", "blue", "Blue", "green"]
    assert len({group_answers(order) for order in itertools.permutations(answers)}) == 1


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        (["5"] * 6 + ["6"] * 2, ("ok", "")),
        (["5"] * 5 + ["6"] * 3, ("rejected", "no_agreement")),
        # 5 agree and one call failed: had it agreed, there would be 6, so nothing is decided
        (["5"] * 5 + ["6"] * 2 + [None], ("failed", "too_few_answers")),
        # 3 agree and two calls failed: 3 + 2 < 6, whatever they would have said; 6 are valid
        (["5"] * 3 + ["6"] * 3 + [None] * 2, ("rejected", "no_agreement")),
        ([None] * 8, ("failed", "too_few_answers")),
        # the teachers did reply, but 3 times without an answer: 5 valid are too few
        (["5"] * 5 + ["-"] * 3, ("rejected", "too_few_answers")),
        (["5"] * 6 + [None] * 2, ("ok", "")),
        # the second teacher was spared: neither lost nor valid
        (["5"] + ["6"] + ["7"] * 2 + ["saved"] * 4, ("rejected", "no_agreement")),
        (["5"] * 2 + [None] * 2 + ["saved"] * 4, ("rejected", "no_agreement")),
        (["-"] * 4 + ["saved"] * 4, ("rejected", "no_agreement")),
    ],
)
def test_six_of_eight_must_agree(answers: list[str | None], outcome: tuple[str, str]) -> None:
    assert decide(count_samples(samples(*answers)), 6) == outcome


def test_samples_that_were_saved_are_not_asked() -> None:
    vote = vote_on(*["5"] * 2, "6", "7", *["saved"] * 4)
    assert (vote["agree"], vote["valid"], vote["asked"]) == (2, 4, 4)
    assert (vote["status"], vote["reason"]) == ("rejected", "no_agreement")


def test_a_tie_matters_where_both_reach_the_threshold() -> None:
    four_each = count_samples(samples(*["5"] * 4, *["6"] * 4))
    assert decide(four_each, 4) == ("rejected", "tie")
    assert decide(four_each, 6) == ("rejected", "no_agreement")


# defect 1 of the reference
def test_failed_calls_are_no_votes() -> None:
    # even if the rows of failed calls held a text, eight of them would not be a consensus
    rows = [
        row | {"answer": "Error 500", "status": "failed", "reason": "server_error"}
        for row in answer_rows(1, *"55555555")
    ]
    vote = collect_votes([question_row(1)], rows, RULES)[0]
    assert (vote["status"], vote["answer"], vote["agree"], vote["valid"], vote["asked"]) == ("failed", "", 0, 0, 8)


# defect 21 of the reference
def test_truncated_replies_are_not_voted_on() -> None:
    rows = answer_rows(1, *["5"] * 8)
    rows = [
        row | {"answer": "", "status": "failed", "reason": "truncated"} if n < 3 else row for n, row in enumerate(rows)
    ]
    assert collect_votes([question_row(1)], rows, RULES)[0]["valid"] == 5


def test_the_judge_joins_what_the_rules_can_not() -> None:
    judge = FakeModel(lambda *_: grouping(([1, 2], 7), ([3], 1)))
    vote = vote_on(*["navy"] * 4, *["dark blue"] * 3, "red", params=JUDGED, judge=judge)
    # listed largest first: 1. navy (4), 2. dark blue (3), 3. red (1)
    assert (vote["status"], vote["answer"], vote["agree"]) == ("ok", "navy", 7)
    assert vote["groups"] == [{"answer": "navy", "count": 7}, {"answer": "red", "count": 1}]
    assert "1. navy (given 4 times)\n2. dark blue (given 3 times)" in judge.asked[0].prompt
    assert judge.asked[0].images == () and judge.asked[0].form == GROUPS_FORM
    assert (vote["judge"]["model"], vote["judge"]["endpoint"]) == ("fake", "local") and vote["judge"]["reply_key"]


@pytest.mark.parametrize(
    "answers",
    [
        ["5"] * 6 + ["6"] * 2,  # decided
        ["5"] * 5 + ["-"] * 3,  # one group: nothing to join
        ["5"] * 3 + ["6"] * 2 + ["-"] * 3,  # 3 + 2 < 6
    ],
)
def test_the_judge_is_asked_only_where_it_could_decide(answers: list[str]) -> None:
    assert not is_worth_judging(count_samples(samples(*answers)), 6)
    judge = FakeModel(lambda *_: "never read")
    assert vote_on(*answers, params=JUDGED, judge=judge)["judge"] is None
    assert judge.asked == []


def test_with_judge_all_the_judge_has_its_say_where_the_rules_have_decided() -> None:
    judge = FakeModel(lambda *_: grouping(([1, 2], 8)))
    vote = vote_on(*["navy"] * 6, *["dark blue"] * 2, params=ALL, judge=judge)
    assert (vote["status"], vote["agree"], len(judge.asked)) == ("ok", 8, 1)
    joined = vote_on(*["navy"] * 3, *["dark blue"] * 2, *["-"] * 3, params=ALL, judge=judge_of(([1, 2], 5)))
    assert (joined["status"], joined["agree"]) == ("rejected", 5)


def test_with_judge_all_its_failure_leaves_a_decided_question_open() -> None:
    vote = vote_on(*["navy"] * 6, *["dark blue"] * 2, params=ALL, judge=FakeModel(lambda *_: failed("timeout")))
    assert (vote["status"], vote["reason"], vote["agree"]) == ("failed", "judge_timeout", 6)


def test_with_judge_all_a_question_without_an_answer_is_not_asked_about() -> None:
    judge = judge_of(([1], 8))
    assert vote_on(*["5"] * 8, params=ALL, judge=judge)["status"] == "ok" and len(judge.asked) == 1
    assert vote_on(*["-"] * 8, params=ALL, judge=judge)["status"] == "rejected" and len(judge.asked) == 1


def test_savings_and_mended_replies_are_counted() -> None:
    questions = [question_row(1), question_row(2), question_row(3)]
    rows = answer_rows(1, *["5"] * 8) + answer_rows(2, *["navy", "blue"] * 4) + answer_rows(3, *["red", "pink"] * 4)

    def join(request: Request, _: int) -> str:
        text = grouping(([1, 2], 8))
        return text.replace("]}", "],}") if "1. pink" in request.prompt else text

    judge = FakeModel(join)
    counts, ledger = count_votes(questions, rows), Ledger()
    judged = judge_votes(questions, counts, judge, JUDGED, ledger)
    found = count_vote_rows(make_votes(questions, counts, judged, JUDGED), rows, judged)
    assert (found["judged"], found["decided_by_rules"], found["repaired"]) == (2, 1, 1)
    assert found["status"] == {"ok": 3} and ledger.metrics()["fake"]["requests"] == 2


def judge_of(*groups: tuple[list[int], int]) -> FakeModel:
    return FakeModel(lambda *_: grouping(*groups))


def test_the_form_that_servers_enforce_is_read_by_the_same_parser() -> None:
    text = json.dumps({"reasoning": "navy is dark {blue}", "groups": [{"answers": [1, 2], "count": 8}]})
    assert parse_groups(text, [5, 3]) == ([[0, 1]], False)
    assert list(json.loads(GROUPS_FORM)["schema"]["properties"]) == ["reasoning", "groups"]  # reasons come first


def test_without_a_judge_no_question_is_joined() -> None:
    assert vote_on(*["navy"] * 4, *["dark blue"] * 4)["reason"] == "no_agreement"


@pytest.mark.parametrize("text", ["", "They all agree: 8", "navy: 8 of 8", '{"groups": 8}', '{"count": 8}'])
# defect 4 of the reference
def test_an_unparsed_judge_is_neither_zero_nor_kept(text: str) -> None:
    vote = vote_on(*["navy"] * 4, *["dark blue"] * 4, params=JUDGED, judge=FakeModel(lambda *_: text))
    assert (vote["status"], vote["reason"]) == ("failed", "judge_unparsable")


# defect 1 of the reference
def test_a_judge_whose_call_failed_decides_nothing() -> None:
    judge = FakeModel(lambda *_: failed("truncated", grouping(([1, 2], 8))))
    assert vote_on(*["navy"] * 4, *["dark blue"] * 4, params=JUDGED, judge=judge)["reason"] == "judge_truncated"


# defect 5 of the reference
def test_the_judges_own_words_never_reach_the_answer() -> None:
    text = '** red. {"groups": [{"answers": [1, 2], "count": 8, "answer": "** red"}]}'
    vote = vote_on(*["navy"] * 5, *["dark blue"] * 3, params=JUDGED, judge=FakeModel(lambda *_: text))
    assert vote["answer"] == "navy"


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        ([([1, 2], 12)], "wrong_counts"),  # 12 of 8
        ([([1], 8), ([2], 0)], "wrong_counts"),
        ([([1], 5)], "not_a_partition"),  # an answer lost
        ([([1, 2], 8), ([2], 3)], "not_a_partition"),  # an answer twice
        ([([1, 2, 3], 8)], "not_a_partition"),  # an answer that nobody gave
        ([([0, 1], 8)], "not_a_partition"),
        ([], "not_a_partition"),
    ],
)
# defect 6 of the reference
def test_counts_must_add_up(groups: list[tuple[list[int], int]], reason: str) -> None:
    with pytest.raises(ReplyError, match=reason):
        parse_groups(grouping(*groups), [5, 3])


# defect 6 of the reference
def test_true_is_no_number() -> None:
    with pytest.raises(ReplyError):
        parse_groups('{"groups": [{"answers": [true, 2], "count": 8}]}', [5, 3])


# defect 7 of the reference
def test_the_judges_conclusion_beats_its_draft() -> None:
    text = grouping(([1, 2], 8)) + "\nBut navy is not sky blue:\n" + grouping(([1], 5), ([2], 3))
    assert parse_groups(text, [5, 3]).value == [[0], [1]]


# defect 8 of the reference
def test_none_can_not_become_a_consensus() -> None:
    # the answer room fails "None" samples; they arrive here as "-"
    vote = vote_on(*["-"] * 7, "5")
    assert (vote["status"], vote["reason"], vote["agree"]) == ("rejected", "too_few_answers", 1)


def test_merged_groups_are_ordered_again() -> None:
    groups = group_answers(["a1"] * 3 + ["b"] * 4 + ["a2"] * 2)
    merged = merge_groups(groups, [[0], [1, 2]])  # b 4; a1 3 + a2 2
    assert [(group.answer, group.count) for group in merged] == [("a1", 5), ("b", 4)]


def test_a_question_without_answer_rows_is_an_error() -> None:
    with pytest.raises(TableError):
        collect_votes([question_row(1), question_row(2)], answer_rows(1, *["5"] * 8), RULES)


def test_a_threshold_nobody_can_reach_is_an_error() -> None:
    counts = count_vote_rows([], [], {})
    with pytest.raises(ParamsError, match="min_agreement"):
        summarise({**counts, "most_samples": {"4": 10}}, 6)
    summarise({**counts, "most_samples": {"4": 10, "8": 1}}, 6)
    with pytest.raises(ParamsError, match="over 0 times"):
        summarise({**counts, "most_samples": {}}, 6)


# defect 18 of the reference
def test_votes_do_not_depend_on_row_order() -> None:
    questions = [question_row(1), question_row(2)]
    rows = answer_rows(1, *["5"] * 7, "6") + answer_rows(2, *["Red"] * 4, *["red"] * 4)
    assert collect_votes(questions, rows, RULES) == collect_votes(questions, rows[::-1], RULES)


def test_rows_fit_their_table_and_are_counted(tmp_path: Path) -> None:
    rows = answer_rows(1, *["5"] * 7, "6") + answer_rows(2, *["red", "blue"] * 4)
    votes = collect_votes([question_row(1), question_row(2)], rows, RULES)
    write_table(tmp_path / "votes", votes, VOTES)
    counts = count_vote_rows(read_table(tmp_path / "votes", VOTES, "vote"), rows, {})
    found = summarise({**counts, "most_samples": {"8": 2}}, 6)
    assert found["agree"] == {"4": 1, "7": 1} and found["kept_by_dimension"] == {"ocr": 1}
    # teacher a (even places): 4 + 0 of 8 equal the winners 5 and blue; teacher b: 3 + 4 of 8
    assert found["teacher_agreement"] == {"a": 4 / 8, "b": 7 / 8}
    assert found["teachers_differ"] == 1  # a says red, b says blue


def test_an_answer_that_a_question_does_not_offer_is_no_row() -> None:
    def vote(question: str, *answers: str) -> tuple[str, str, str]:
        row = question_row(1) | {"question": question}
        (found,) = collect_votes([row], answer_rows(1, *answers), RULES)
        return found["status"], found["reason"], found["answer"]

    choice = "Is it “NCINI” or “NC7NI” that is written at the left of the whole picture?"
    assert vote(choice, *["ONCINI"] * 7, "NCINI") == ("rejected", "not_offered", "ONCINI")
    assert vote(choice, *["ncini"] * 8) == ("ok", "", "ncini")
    assert vote(choice, *["ONCINI"] * 5, *["NCINI"] * 3)[1] == "no_agreement"  # an earlier reason stands
    listed = 'Which of these is written on the door: "Push", "Pull" or "5"?'
    assert vote(listed, *["five"] * 8)[0] == "ok" and vote(listed, *["Exit"] * 8)[1] == "not_offered"
    for plain in ("What is written below “EXIT”?", "Is the door open or closed?", 'What stands between "A" and "B"?'):
        assert vote(plain, *["ajar"] * 8)[0] == "ok"
