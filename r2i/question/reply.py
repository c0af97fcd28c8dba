"""The teacher's replies to the prompts `write` and `validate`: their JSON Schemas and parsers."""

from typing import Any, NamedTuple

from r2i.core.parse import Parsed, ReplyError, make_form, read_json, strict_object

CHECKS = ("answerable_from_crop", "one_clear_answer", "same_in_both", "names_target")
DIMENSIONS = ("counting", "ocr", "color", "structure", "material", "identification")
OTHER = "other"
_ALIASES = {
    "count": "counting", "number": "counting",
    "text": "ocr", "text recognition": "ocr", "reading": "ocr",
    "colour": "color", "colors": "color", "colours": "color",
    "shape": "structure", "structural": "structure", "spatial": "structure",
    "materials": "material", "texture": "material",
    "identity": "identification", "object": "identification", "recognition": "identification",
}  # fmt: skip

QUESTIONS_FORM = make_form(
    "questions",
    strict_object(
        questions={
            "type": "array",
            "items": strict_object(question={"type": "string"}, dimension={"type": "string", "enum": list(DIMENSIONS)}),
        }
    ),
)
CHECKS_FORM = make_form(
    "verdict", strict_object(reasoning={"type": "string"}, **{check: {"type": "boolean"} for check in CHECKS})
)


class WrittenQuestion(NamedTuple):
    """A question and its dimension, as the teacher wrote them."""

    question: str
    dimension: str


def parse_questions(text: str) -> Parsed[list[WrittenQuestion]]:
    """The questions of the last JSON list in `text`, bare or in an object; `[]`: nothing to ask.

    Strings are stripped, the dimension is one of DIMENSIONS or `other`. Raises ReplyError where
    there is no such list, or where one of its items is no question.
    """
    items, repaired = read_json(text, "[", _is_question_list)
    if not items and '"question"' in text:  # an inner [] of a list that can't be read
        raise ReplyError("unparsable")
    questions = [
        WrittenQuestion(" ".join(item["question"].split()), name_dimension(item.get("dimension"))) for item in items
    ]
    return Parsed(questions, repaired)


def name_dimension(name: Any) -> str:
    """One of DIMENSIONS for `name` in any spelling, else `other`."""
    plain = " ".join(str(name).casefold().replace("_", " ").split())
    return plain if plain in DIMENSIONS else _ALIASES.get(plain, OTHER)


def parse_checks(text: str) -> Parsed[tuple[bool, ...]]:
    """Whether each of CHECKS holds, from the last JSON object in `text` that states all four.

    Only JSON booleans count: no word of the prose around it, and not the first of two objects.
    Raises ReplyError where there is no such object: the question is then neither valid nor invalid.
    """
    stated, repaired = read_json(text, "{", _has_checks)
    return Parsed(tuple(stated[check] for check in CHECKS), repaired)


def _is_question_list(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, dict) and isinstance(item.get("question"), str) for item in value
    )


def _has_checks(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(check), bool) for check in CHECKS)
