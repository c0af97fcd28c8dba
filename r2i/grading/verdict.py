"""The last resort of a grader: a language model is asked whether an answer means the same as the right one.

Shared by the reward of `train` and by `evaluate`. Rules come first (r2i/grading/strict.py); what they read is never
asked about.
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

    Only a JSON boolean counts. Raises r2i.core.parse.ReplyError where there is none: no verdict, which is neither
    right nor wrong.
    """
    value, repaired = read_json(text, "{", _is_verdict)
    return Parsed(value["correct"], repaired)


def _is_verdict(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("correct"), bool)
