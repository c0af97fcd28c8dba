"""Characters that a reader does not see, or that turn the direction of what he sees."""

import re
from collections.abc import Callable

# Control characters (line breaks and tabs stay), what turns the direction of writing, and what shows nothing at all:
# soft hyphens, zero-width spaces, byte order marks, blank letters, tags and the variation selectors beyond the emoji's.
# Joiners and U+FE0F stay: emoji need them. Lone surrogates can't be sent.
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u070f\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U000e0000-\U000e0fff\ud800-\udfff]"
)


def made_seen(text: str, name: Callable[[str], str]) -> str:
    """`text` with `name` of each such character in its place."""
    return UNSEEN.sub(lambda found: name(found[0]), text)


def code_point(char: str) -> str:
    """U+202E"""
    return f"U+{ord(char):04X}"
