"""The LLM judge's prompt, and the parser of its verdict: does an answer mean the same as the right one?

Shared by training (r2i.train.judge) and evaluation (r2i.grading.judged). The judge is asked only about what the rules
leave open.
"""

from typing import Any

from r2i.core.parse import Parsed, make_form, read_json, strict_object
from r2i.core.prompts import Prompt, load_prompt

VERDICT_FORM = make_form("verdict", strict_object(correct={"type": "boolean"}))


def judge_prompt(style: str) -> Prompt:
    """The template of the question to the judge, with its hash for provenance."""
    return load_prompt("grading", "verdict", style)


def fill_judge(prompt: Prompt, question: str, answer: str, reply: str) -> str:
    """The text that the judge gets. `answer`: the right one's text, never its letter; `reply`: the span alone."""
    return prompt.fill(question=question, answer=answer, reply=reply)


def parse_verdict(text: str) -> Parsed[bool]:
    """Whether the reply is correct, from the last JSON object in `text` that says so.

    Only a JSON boolean counts. Raises r2i.core.parse.ReplyError where there is none: without a verdict a
    reply is neither right nor wrong.
    """
    value, repaired = read_json(text, "{", _is_verdict)
    return Parsed(value["correct"], repaired)


def _is_verdict(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("correct"), bool)
