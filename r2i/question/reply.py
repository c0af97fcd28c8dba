"""What the teacher replies to `write` and `validate`, read strictly."""

from typing import Any

from r2i.parse import ReplyError, read_json

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


def parse_questions(text: str) -> list[tuple[str, str]]:
    """`(question, dimension)` pairs of the last JSON list in `text`; `[]`: nothing worth asking.

    Strings are stripped, the dimension is one of DIMENSIONS or `other`. Raises ReplyError where
    there is no such list, or where one of its items is no question.
    """
    items = read_json(text, "[", _is_question_list)
    if not items and '"question"' in text:  # an inner [] of a list that can't be read
        raise ReplyError("unparsable")
    return [(" ".join(item["question"].split()), name_dimension(item.get("dimension"))) for item in items]


def name_dimension(name: Any) -> str:
    """One of DIMENSIONS for `name` in any spelling, else `other`."""
    plain = " ".join(str(name).casefold().replace("_", " ").split())
    return plain if plain in DIMENSIONS else _ALIASES.get(plain, OTHER)


def parse_verdict(text: str) -> tuple[bool, ...]:
    """The verdicts in the order of CHECKS, from the last JSON object in `text` that states all four.

    Only JSON booleans count: no word of the prose around it, and not the first of two objects.
    Raises ReplyError where there is no such object: the question is then neither valid nor invalid.
    """
    verdict = read_json(text, "{", _is_verdict)
    return tuple(verdict[check] for check in CHECKS)


def _is_question_list(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, dict) and isinstance(item.get("question"), str) for item in value
    )


def _is_verdict(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(check), bool) for check in CHECKS)
