"""What several reviewers decided together; who gets which row; what the numbers say."""

from collections import Counter

import numpy as np
import pytest
from review.made_decisions import WAS, decision
from statsmodels.stats.inter_rater import cohens_kappa

from r2i.pages.review.queue import LEASE, Queue, choose
from r2i.review.agreement import acceptance, alpha, cohen, kappas, measure, precision_unreviewed
from r2i.review.decisions import Decisions
from r2i.review.outcomes import Outcome, Outcomes, decide, resolve, still_needed
from r2i.score.proportion import wilson


def test_two_who_agree_close_a_row_and_two_who_differ_leave_it_open() -> None:
    assert decide([decision(), decision(reviewer="bob")]).state == "accepted"
    assert decide([decision("reject"), decision("reject", "bob", reason="trivial")]).state == "rejected"
    assert decide([decision(), decision("reject", "bob")]).state == "open"
    assert decide([decision()]).state == "open"


def test_a_third_decides_and_three_different_ones_dispute() -> None:
    ann, bob = decision(), decision("reject", "bob")
    assert decide([ann, bob, decision("reject", "cat")]).state == "rejected"
    assert decide([ann, bob, decision("fix", "cat", answer="6")]).state == "disputed"
    assert (
        decide([ann, bob, decision("fix", "cat", answer="6"), decision(reviewer="dan")]).state == "disputed"
    )  # 2 of 4


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"answer": "Six"}, {"answer": "6."}, True),
        ({"answer": "6"}, {"answer": "7"}, False),
        ({"answer": "6"}, {"answer": "6", "dimension": "ocr"}, False),
        ({"question": "What digit?"}, {"question": "what  digit"}, True),
        ({"options": ["5", "6"]}, {"options": ["six", "5"]}, True),
        # 20 x 20 and 20 x 19 in it: 380 / 400
        ({"box": [0, 0, 20, 20]}, {"box": [0, 0, 20, 19]}, True),
        # 20 x 10 of 20 x 20: 0.5
        ({"box": [0, 0, 20, 20]}, {"box": [0, 0, 20, 10]}, False),
    ],
)
def test_fixes_agree_by_what_they_say_and_boxes_by_what_they_cover(one: dict, other: dict, same: bool) -> None:
    outcome = decide([decision("fix", **one), decision("fix", "bob", **other)])
    assert outcome.state == ("fixed" if same else "open")
    assert not same or outcome.fix.changes == one  # the first one's spelling and box


def test_a_decision_about_what_a_row_was_is_stale_and_of_a_row_that_went_it_is_gone() -> None:
    found = Decisions([decision(), decision(reviewer="bob"), decision(subject="q2"), decision(subject="q9")])
    changed = WAS.model_copy(update={"answer": "6"})
    outcomes = resolve(found, {"q1": WAS, "q2": changed}.get)
    assert outcomes.counts() == {"reviewed": 1, "accepted": 1, "fixed": 0, "rejected": 0, "disputed": 0, "open": 0,
                                 "stale": 2, "bad": 0}  # fmt: skip


def test_a_queue_covers_every_stratum_first_and_a_longer_one_only_adds() -> None:
    strata = {f"a{n}": "large" for n in range(400)} | {f"b{n}": "small" for n in range(4)}
    few, more = choose(strata, 22, 0), choose(strata, 60, 0)
    # √400 : √4 = 20 : 2
    assert Counter(strata[name] for name in few) == {"large": 20, "small": 2}
    assert more[:22] == few and choose(strata, 22, 1) != few
    assert Counter(strata[name] for name in choose(strata, 3, 0, per_stratum=True)) == {"large": 3, "small": 3}
    assert len(choose(strata, None, 0)) == 404


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_two_reviewers_of_a_row_a_third_only_for_a_dispute_and_nobody_twice() -> None:
    known: dict[str, list] = {}
    queue = Queue(["q1", "q2"], lambda: known)
    assert queue.next("ann") == "q1" == queue.next("ann")
    assert queue.next("bob") == "q1"
    assert queue.next("cat") == "q2"  # q1 is in the hands of two
    known["q1"] = [decision(), decision("reject", "bob")]
    for name in ("ann", "bob"):
        queue.release(name, "q1")
    assert queue.next("ann") == "q2"
    assert queue.next("dan") == "q1"  # begun rows first
    known["q1"].append(decision(reviewer="dan"))
    queue.release("dan", "q1")
    assert queue.next("eve") is None  # q2: ann and cat have it


def test_a_lease_ends_and_what_was_skipped_comes_last() -> None:
    clock = Clock()
    queue = Queue(["q1", "q2"], lambda: {}, clock)
    assert [queue.next(name) for name in ("ann", "bob", "cat")] == ["q1", "q1", "q2"]
    clock.now = LEASE + 1
    assert queue.next("cat") == "q1"
    queue.skip("cat", "q1")
    assert queue.next("cat") == "q2"
    queue.skip("cat", "q2")
    assert queue.next("cat") == "q1"


def closed(right: int, wrong: int, name: str) -> dict[str, Outcome]:
    states = ["accepted"] * right + ["rejected"] * wrong
    return {f"{name}{n}": Outcome(state, (decision(),)) for n, state in enumerate(states)}  # type: ignore[arg-type]


def people(name: str, rows: int) -> dict[str, str]:
    return {f"{name}{n}": name for n in range(rows)}


def test_the_precision_weighs_strata_by_the_rows_that_are_left() -> None:
    population = people("a", 110) | people("b", 40)
    found = closed(9, 1, "a") | closed(5, 5, "b")
    estimate = precision_unreviewed(found, population)
    # left: 100 and 30 of 130; (100 * 0.9 + 30 * 0.5) / 130 = 105 / 130
    assert estimate and estimate["value"] == pytest.approx(105 / 130) and estimate["n"] == 130
    # 1 / ((100/130)² (1/10 + 1/100) + (30/130)² (1/10 + 1/30)) trials
    trials = 1 / ((100 / 130) ** 2 * (1 / 10 + 1 / 100) + (30 / 130) ** 2 * (1 / 10 + 1 / 30))
    assert estimate["ci95"] == pytest.approx(wilson(105 / 130, trials))


def test_a_row_that_got_another_dimension_alone_was_right() -> None:
    moved = Outcome("fixed", (decision(),), decision("fix", dimension="ocr").fix)
    other = Outcome("fixed", (decision(),), decision("fix", answer="6").fix)
    estimate = precision_unreviewed({"a0": moved, "a1": other}, people("a", 10))
    assert estimate and estimate["value"] == 0.5


def test_a_stratum_with_one_reviewed_row_speaks_with_the_others() -> None:
    estimate = precision_unreviewed(closed(10, 0, "a") | closed(0, 1, "b"), people("a", 20) | people("b", 20))
    # one stratum of 40, 10 of 11 right
    assert estimate and estimate["value"] == pytest.approx(10 / 11)
    assert precision_unreviewed({}, people("a", 3)) is None
    assert precision_unreviewed(closed(3, 0, "a"), people("a", 3)) is None  # nothing is left


@pytest.mark.parametrize(
    ("sizes", "rates"),
    [((1500, 120, 30), (0.97, 0.8, 0.6)), ((70,) * 18, (0.95,) * 18), ((300, 60), (0.9, 0.7))],
    ids=["one large", "many small", "half of it"],
)
def test_the_interval_holds_the_truth_at_least_as_often_as_it_says(
    sizes: tuple[int, ...], rates: tuple[float, ...]
) -> None:
    """300 reviews of 120 rows, drawn as the queue draws them: how many intervals hold the labels that are left?"""
    rng, held = np.random.default_rng(0), 0
    strata = {f"{place}-{n}": place for place, size in enumerate(sizes) for n in range(size)}
    chance = np.array([rates[place] for place in strata.values()])
    for seed in range(300):
        right = dict(zip(strata, rng.random(len(chance)) < chance, strict=True))
        found = {name: Outcome("accepted" if right[name] else "rejected", ()) for name in choose(strata, 120, seed)}
        estimate = precision_unreviewed(found, strata)
        assert estimate
        low, high = estimate["ci95"]
        left = [right[name] for name in strata if name not in found]
        held += low <= sum(left) / len(left) <= high
    # 95 % of 300: 285, sigma 3.8; more is no fault where strata differ
    assert held >= 285 - 3 * 3.8, held


def test_acceptance_counts_closed_rows_alone() -> None:
    found = [*closed(8, 2, "a").values(), Outcome("disputed", ()), Outcome("open", ())]
    one = acceptance(found)
    assert one and one["value"] == 0.8 and one["n"] == 10
    assert one["ci95"] == pytest.approx([0.4902, 0.9433], abs=1e-4)  # Wilson's of 8 in 10
    assert acceptance([]) is None


def test_alpha_is_the_textbooks_on_a_table_by_hand() -> None:
    """Three rows of two: accept/accept, reject/reject, accept/reject.

    Values: 3 accept, 3 reject, n = 6. D_o = 2 / 6 (two of the six ordered pairs, each row's count m - 1 = 1, differ);
    D_e = 2 * 3 * 3 / (6 * 5) = 0.6; alpha = 1 - (1/3) / 0.6 = 4 / 9.
    """
    rows = [
        [decision(), decision(reviewer="bob")],
        [decision("reject"), decision("reject", "bob")],
        [decision(), decision("reject", "bob")],
        [decision()],
    ]
    found = alpha(rows)
    assert found and found["n"] == 3 and found["value"] == pytest.approx(4 / 9)
    assert alpha(rows[3:]) is None
    assert alpha(rows[:1]) == {"value": None, "n": 1}


def test_kappa_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(1)
    verdicts = ["accept", "fix", "reject"]
    pairs = [(verdicts[a], verdicts[a if rng.random() < 0.6 else rng.integers(3)]) for a in rng.integers(3, size=60)]
    table = np.array([[sum(pair == (a, b) for pair in pairs) for b in verdicts] for a in verdicts])
    assert cohen(pairs) == pytest.approx(cohens_kappa(table).kappa)
    assert cohen([("accept", "accept")] * 3) is None
    found = kappas([[decision(), decision("reject", "bob")], [decision(), decision(reviewer="bob")], [decision()]])
    assert list(found) == ["ann, bob"] and found["ann, bob"]["n"] == 2


def test_rows_drawn_from_the_train_rows_say_nothing_of_all_voted_ones() -> None:
    found = Outcomes({f"a{n}": Outcome("accepted", (decision(frame="trained"),)) for n in range(4)})
    populations = {"voted": people("a", 100), "trained": people("a", 10)}
    one = measure(found, populations)["precision_unreviewed"]  # type: ignore[arg-type]
    assert (one["of"], one["n"]) == ("trained", 6)
    voted = Outcomes({f"a{n}": Outcome("accepted", (decision(),)) for n in range(4)})
    one = measure(voted, populations)["precision_unreviewed"]  # type: ignore[arg-type]
    assert (one["of"], one["n"]) == ("voted", 96)


def test_rows_of_another_draw_do_not_count_where_only_those_that_survived_it_are_left() -> None:
    def of(frame: str, verdict: str, names: range) -> dict[str, Outcome]:
        state = {"accept": "accepted", "reject": "rejected"}[verdict]
        return {f"a{n}": Outcome(state, (decision(verdict, frame=frame),)) for n in names}  # type: ignore[arg-type]

    trained = of("trained", "accept", range(3)) | of("trained", "reject", range(3, 4))
    found = Outcomes(trained | of("voted", "accept", range(10, 20)) | of("voted", "reject", range(20, 30)))
    left = {name: one for name, one in people("a", 100).items() if name not in of("voted", "reject", range(20, 30))}
    estimate = measure(found, {"trained": left, "voted": people("a", 100)})["precision_unreviewed"]
    assert (estimate["of"], estimate["value"], estimate["reviewed"]) == ("trained", pytest.approx(0.75), 4)


def test_a_third_reviewer_who_sees_disputed_rows_alone_does_not_change_the_agreement() -> None:
    agreed = [Outcome("accepted", (decision(at=0), decision(reviewer="bob", at=1))) for _ in range(6)]
    agreed += [Outcome("rejected", (decision("reject", at=0), decision("reject", "bob", at=1))) for _ in range(2)]
    split = (decision(at=0), decision("reject", "bob", at=1))
    two = measure(Outcomes({str(n): one for n, one in enumerate([*agreed, Outcome("open", split)])}), {"voted": {}})
    third = Outcome("rejected", (*split, decision("reject", "cat", at=2)))
    three = measure(Outcomes({str(n): one for n, one in enumerate([*agreed, third])}), {"voted": {}})
    assert three["alpha"] == two["alpha"] and list(three["kappa"]) == ["ann, bob"]


def test_a_row_needs_two_then_one_more_then_none() -> None:
    ann, bob = decision(), decision("reject", "bob")
    assert [still_needed(about) for about in ([], [ann], [ann, bob], [ann, bob, decision(reviewer="cat")])] == [
        2,
        1,
        1,
        0,
    ]
