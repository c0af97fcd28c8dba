"""What a model, a file or a person wrote, as it is put on a page: shown as text, and nothing else happens."""

from typing import Any

from markupsafe import Markup, escape

from r2i.core.invisible import UNSEEN, code_point, made_seen

LIMIT = 600  # characters shown at once, unless told
MOST = 200_000  # characters shown at all


def shown(value: Any, limit: int | None = LIMIT) -> Markup:
    """`value` as HTML: hidden characters made visible, its direction of writing kept to itself.

    A text of more than `limit` characters (None: MOST) is cut, and opens in full where JavaScript is off too.
    """
    text = "" if value is None else str(value)
    if limit is None or len(text) <= limit:
        return _isolated(_visible(text[:MOST]) + (_more(text, MOST) if len(text) > MOST else ""))
    summary = _isolated(_visible(text[:limit]) + "…")
    count = Markup('<span class="soft">all {:,} characters</span>').format(len(text))
    return Markup('<details class="long"><summary>{} {}</summary>{}</details>').format(
        summary, count, shown(text, None)
    )


def cut(value: Any, limit: int) -> Markup:
    """`shown` for places that can't open: cells and link texts."""
    text = "" if value is None else str(value)
    return _isolated(_visible(text[:limit]) + ("…" if len(text) > limit else ""))


def plain(value: Any, limit: int = LIMIT) -> str:
    """The same for attributes and titles: text without marks."""
    text = "" if value is None else str(value)
    return made_seen(text[:limit], _name) + ("…" if len(text) > limit else "")


def _isolated(inner: Markup) -> Markup:
    return Markup('<bdi dir="auto" class="said">{}</bdi>').format(inner)


def _visible(text: str) -> Markup:
    parts, before = [], 0
    for found in UNSEEN.finditer(text):
        name = _name(found[0])
        parts += [escape(text[before : found.start()]), Markup('<span class="hidden-char">{}</span>').format(name)]
        before = found.end()
    return Markup("").join([*parts, escape(text[before:])])


def _more(text: str, shown_characters: int) -> Markup:
    return Markup(' <span class="soft">… and {:,} characters more</span>').format(len(text) - shown_characters)


def _name(char: str) -> str:
    """␀ for NUL, U+202E for what turns the direction of writing."""
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    return code_point(char)
