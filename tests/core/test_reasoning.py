"""Reasoning is never read as the answer, and special tokens never stand in one."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r2i.answer.ask import parse_answer
from r2i.core.parse import ReplyError
from r2i.core.reasoning import drop_tokens, read_final
from r2i.crop.reply import parse_objects
from r2i.evaluate.zoom import parse_box
from r2i.grading import NONE
from r2i.grading.flexible import grade_flexibly
from r2i.grading.judged import quote_reply
from r2i.grading.strict import grade_strictly
from r2i.grading.verdict import parse_verdict
from r2i.overlay.reply import choose_distinct, parse_distractors
from r2i.question.reply import parse_checks, parse_questions
from r2i.vote.judge import parse_groups

# as models and servers write them: Qwen, DeepSeek, Kimi, Magistral, GLM, Seed, Cohere, gpt-oss, Gemma, Open WebUI ...
FORMS = [
    ("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<THINK>", "</THINK>"), ("<think >", "</think >"),
    ("<reasoning>", "</reasoning>"), ("<reason>", "</reason>"), ("<thought>", "</thought>"),
    ("<analysis>", "</analysis>"), ("<reflection>", "</reflection>"), ("<scratchpad>", "</scratchpad>"),
    ("<seed:think>", "</seed:think>"), ("<longcat_think>", "</longcat_think>"), ("◁think▷", "◁/think▷"),
    ("[THINK]", "[/THINK]"), ("<|begin_of_thought|>", "<|end_of_thought|>"), ("<|thought_start|>", "<|thought_end|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"), ("<|channel>thought\n", "<channel|>"), ("&lt;think&gt;",
    "&lt;/think&gt;"),
    ("<thinking_process>", "</thinking_process>"), ("<reasoning_content>", "</reasoning_content>"),
    ("<inner_thoughts>", "</inner_thoughts>"), ("<deliberation>", "</deliberation>"), ("<think>", "<\\think>"),
    ("<|reasoning_start|>", "<|reasoning_end|>"), ("```thinking\n", "\n```\n"), ("<think>", "</ think>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ('<details type="reasoning" done="true">', "</details>"), ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<unused94>thought\n", "<unused95>"), ("analysisThe ", "assistantfinal"), ("<think duration='3'>", "</think>"),
]  # fmt: skip
COLORS = {"options": ["red", "blue"], "label": "B", "answer": "blue"}
THOUGHTS = "It may be <answer>A</answer> or \\boxed{red}. The answer is A. "
PROSE = st.text(alphabet="abc ABX.,:?\n<>|/[]{}\\", max_size=60)


@pytest.mark.parametrize(("opening", "closing"), FORMS)
def test_what_stands_in_reasoning_is_read_by_nobody(opening: str, closing: str) -> None:
    thought = opening + THOUGHTS + closing
    assert read_final(thought + "<answer>B</answer>").strip() == "<answer>B</answer>"
    assert grade_strictly(thought + "<answer>B</answer>", "B", ["red", "blue"]).predicted == "B"
    assert grade_flexibly(thought + "B", COLORS).correct is True
    assert parse_answer(thought + "\\boxed{brown}").answer == "brown"
    assert quote_reply(thought + "brown") == "brown"


@pytest.mark.parametrize(("opening", "closing"), FORMS)
def test_reasoning_that_never_ends_says_nothing(opening: str, closing: str) -> None:
    cut = opening + THOUGHTS
    assert read_final(cut) == ""
    assert grade_strictly(cut, "A", ["red", "blue"]).rule == "format"
    assert grade_flexibly(cut, COLORS).rule == NONE
    assert parse_answer(cut) == ("", "no_answer")
    assert quote_reply(cut) == ""


@pytest.mark.parametrize(
    ("opening", "closing"),
    [form for form in FORMS if "final" not in form[1] and form[1] not in ("</details>", "\n```\n")],
)
def test_an_end_whose_beginning_stood_in_the_prompt_ends_reasoning_too(opening: str, closing: str) -> None:
    assert grade_flexibly(f"{THOUGHTS}{closing}B", COLORS).correct is True
    assert grade_strictly(f"{THOUGHTS}{closing} I can't tell.", "A", ["red", "blue"]).rule == "format"


JSON_READERS = [
    (lambda text: parse_verdict(text).value, '{"correct": true}', '{"correct": false}', False),
    (lambda text: parse_distractors(text).value, '["a", "b"]', '["c", "d"]', ["c", "d"]),
    (lambda text: [one.question for one in parse_questions(text).value], '[{"question": "x"}]', '[{"question": "y"}]',
    ["y"]),
    (lambda text: parse_box(text), '{"bbox_2d": [1, 2, 3, 4]}', '{"bbox_2d": [5, 6, 7, 8]}', [5, 6, 7, 8]),
    (lambda text: parse_objects(text).value[0].label, '[{"bbox_2d": [1, 2, 3, 4], "label": "a"}]',
     '[{"bbox_2d": [1, 2, 3, 4], "label": "b"}]', "b"),
    (lambda text: parse_groups(text, [1, 1]).value, '{"groups": [{"answers": [1, 2], "count": 2}]}',
     '{"groups": [{"answers": [1], "count": 1}, {"answers": [2], "count": 1}]}', [[0], [1]]),
    (lambda text: parse_checks(text).value[0],
     '{"answerable_from_crop": true, "one_clear_answer": true, "same_in_both": true, "names_target": true}',
     '{"answerable_from_crop": false, "one_clear_answer": true, "same_in_both": true, "names_target": true}', False),
]  # fmt: skip


@pytest.mark.parametrize(("read", "thought", "said", "meant"), JSON_READERS)
@pytest.mark.parametrize(("opening", "closing"), FORMS)
def test_json_in_reasoning_is_no_verdict_box_list_or_check(
    read: Callable[[str], object], thought: str, said: str, meant: object, opening: str, closing: str
) -> None:
    assert read(f"{opening}{thought}{closing}{said}") == meant
    for reply in (f"{opening}{said}{thought}{closing}I can't tell.", f"{opening}{thought}"):
        with pytest.raises(ReplyError):
            read(reply)


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("<think>\\boxed{red}</think>\n<|begin_of_box|>brown<|end_of_box|>", "brown"),
        (
            "<think>I have to end with \\boxed{unknown}</think>\nThe plate reads <|begin_of_box|>KX 41<|end_of_box|>",
            "KX 41",
        ),
        ("\\boxed{<|begin_of_box|>brown<|end_of_box|>}", "brown"),
        ("<answer><|begin_of_box|>brown<|end_of_box|></answer>", "brown"),
        ("<answer>brown<|im_end|></answer>", "brown"),
        ("\\boxed{brown}<|im_end|>\n<|im_start|>user\nAnd now?\n\\boxed{red}", "brown"),
        ("\\boxed{10²}", "10²"),  # as it was said
        ("\\boxed{5″}", "5″"),
        ("\\boxed{2½}", "2½"),
        ("\\boxed{#5}", "#5"),
    ],
)
def test_a_teachers_answer_has_no_special_tokens_and_is_else_as_it_was_said(reply: str, answer: str) -> None:
    assert parse_answer(reply) == (answer, "")


@settings(deadline=None)
@given(
    reasoning=PROSE, reply=st.sampled_from(["B", "<answer>B</answer>", "Answer: B. blue", "\\boxed{B}", "blue", "A"])
)
def test_reasoning_in_front_changes_no_verdict(reasoning: str, reply: str) -> None:
    for opening, closing in FORMS[:12]:
        thought = f"{opening}{reasoning}{closing}"
        assert grade_flexibly(thought + reply, COLORS) == grade_flexibly(reply, COLORS)
        assert grade_strictly(thought + reply, "B", ["red", "blue"]) == grade_strictly(reply, "B", ["red", "blue"])


@settings(deadline=None)
@given(
    st.text(alphabet=st.characters(exclude_characters="<>[]&◁▷"), max_size=80).filter(
        lambda text: "analysis" not in text
    )
)
def test_a_reply_without_marks_is_left_as_it_is(text: str) -> None:
    if not text.lstrip().startswith(("assistant", "commentary")):
        assert drop_tokens(read_final(text)) == text


@pytest.mark.parametrize(
    "text", ["<think>" * 20_000, "</think>" * 20_000, "<" * 50_000, "<|" * 30_000, "[THINK]" * 9_000]
)
def test_many_marks_take_little_time(text: str) -> None:
    assert len(drop_tokens(read_final(text))) <= len(text)


@pytest.mark.parametrize(
    "said",
    [
        "unknown",
        "It cannot be determined",
        "not visible",
        "I don't know",
        "Can't tell",
        "无法确定",
        "看不清",
        "not sure",
    ],
)
def test_saying_that_there_is_no_answer_is_no_answer_and_no_distractor(said: str) -> None:
    assert parse_answer(f"\\boxed{{{said}}}") == ("", "no_answer")
    assert choose_distinct("red", [said, "blue"]) == ["blue"]


@pytest.mark.parametrize("said", ["Unknown Soldier", "no parking", "not a door", "I can see you", "Nobody", "无糖"])
def test_an_answer_that_sounds_like_none_is_one(said: str) -> None:
    assert parse_answer(f"\\boxed{{{said}}}") == (said, "")
    assert choose_distinct("red", [said]) == [said]
