"""Text of models and files as the page may show it: all of it visible, none too long."""

import re

from markupsafe import Markup

LONGEST = 500  # characters of one text
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\ufffe\uffff]"
)


def plain(text: str, longest: int = LONGEST) -> str:
    """`text` cut to `longest` characters, its control and direction marks made visible: ⟨U+0000⟩, ⟨U+202E⟩."""
    cut = text if len(text) <= longest else f"{text[:longest]} … ({len(text):,} characters)"
    return _UNSEEN.sub(lambda mark: f"⟨U+{ord(mark[0]):04X}⟩", cut)


def shown(value: object) -> object:
    """What every expression of a template goes through: text becomes plain; markup that r2i wrote stays."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def tail(text: str, longest: int) -> str:
    """The end of a reply, where its answer stands."""
    text = text.strip()
    return text if len(text) <= longest else "… " + text[-longest:]


def words(slug: str) -> str:
    return slug.replace("_", " ")
