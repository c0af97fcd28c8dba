"""Rows that are alike for the review: what is drawn from, and what speaks for what was not looked at."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any


def question_stratum(vote: Mapping[str, Any]) -> str:
    """Dimension and agreement of a voted question: `ocr, 7 of 8`."""
    return f"{vote['dimension']}, {vote['agree']} of {vote['valid']}"


def question_strata(votes: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """By question_id."""
    return {vote["question_id"]: sys.intern(question_stratum(vote)) for vote in votes}


def item_stratum(item: Mapping[str, Any]) -> str:
    """Dimension of a benchmark item."""
    return str(item["dimension"])
