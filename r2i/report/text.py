"""Text of models and files as the page may show it: all of it visible, none too long."""

from markupsafe import Markup

from r2i.core.invisible import code_point, made_seen

LONGEST = 500  # characters of one text


def plain(text: str, longest: int = LONGEST) -> str:
    """`text` cut to `longest` characters, what is not seen in it made visible: ⟨U+0000⟩, ⟨U+202E⟩."""
    cut = text if len(text) <= longest else f"{text[:longest]} … ({len(text):,} characters)"
    return made_seen(cut, lambda char: f"⟨{code_point(char)}⟩")


def shown(value: object) -> object:
    """What every expression of a template goes through: text becomes plain; markup that r2i wrote stays."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def tail(text: str, longest: int) -> str:
    """The end of a reply, where its answer stands."""
    text = text.strip()
    return text if len(text) <= longest else "… " + text[-longest:]


def words(slug: str) -> str:
    return slug.replace("_", " ")
