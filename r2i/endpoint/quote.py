"""What a server says, made fit to be printed and stored: without the API key, without control characters."""

HIDDEN = "***"
MIN_KEY = 8  # characters: `EMPTY`, `token` and `-` are placeholders, and words of ordinary replies
LONG_KEY = 16  # characters from which letters alone are a key too


def hide_key(text: str, key: str) -> str:
    """`text` with HIDDEN in place of the key: a server may quote it, and it must be in no message and no row.

    A key that is too short to be a secret, or a mere word, alters no text.
    """
    is_secret = len(key) >= (LONG_KEY if key.isalpha() else MIN_KEY)
    return text.replace(key, HIDDEN) if is_secret else text


def escape_controls(text: str) -> str:
    """`text` with its control characters, which may steer a terminal, and half surrogate pairs as escapes."""
    return text if text.isprintable() else "".join(map(_escape, text))


def _escape(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode()
