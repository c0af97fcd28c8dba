"""What must not stand in params.yaml, which git, DVC's lock, the report and MLflow keep: keys and passwords.

A text is judged by its form and an argument by its name; no value is repeated in what is said about it.
"""

import re
from urllib.parse import urlsplit

_FORMS = {
    "a password in an address": r"://[^/\s?#@]*:[^/\s?#@]*@|https?://[^/\s?#@]+@",
    "a key in an address": (
        r"[?&;#][\w.-]*(?:key|token|secret|passw(?:or)?d|credential|signature|sig|auth|code)[\w.-]*=[^\s&]"
    ),
    "an API key": (
        r"(?<![A-Za-z0-9])(?:(?:sk|pk|rk|nvapi|glpat|pplx|xox[abeprs])-[\w-]{16,}"
        r"|(?:hf|gh[oprsu]|github_pat|gsk|r8|tgp_v1|fw|csk|xai)_[\w-]{20,}|A(?:KIA|SIA)[0-9A-Z]{16}|AIza[\w-]{30,}"
        r"|eyJ[\w-]{10,}\.[\w-]{10,}\.|Bearer\s+\S{8,})|-----BEGIN [A-Z ]*PRIVATE KEY"
    ),
    "a key or password beside its name": (
        r"(?:api[_-]?key|passw(?:or)?d|passphrase|secret|access[_-]?key|(?:auth|hf|access|bearer|api)[_-]?token"
        r"|authorization|[A-Z0-9]_(?-i:TOKEN|KEY))[\"']?\s*[=:]\s*[\"']?\w"
    ),
}
FORMS = {what: re.compile(pattern, 0 if what == "an API key" else re.IGNORECASE) for what, pattern in _FORMS.items()}
SECRET_WORDS = frozenset({"apikey", "password", "passwd", "passphrase", "secret", "credential", "credentials"})
COLUMNS = frozenset({"input", "label", "image", "output", "prompt", "chosen", "rejected", "metric", "apply", "sort"})
SPECIAL = frozenset({"pad", "eos", "bos", "unk", "stop", "mask", "image", "video", "audio", "start", "end"})
SHORTENED = {"api-key": 5, "hf-token": 4}  # argparse takes the start of a name; from so many letters on it is this one
VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
LONGEST_WORD = 16  # letters and digits of a word in a variable's name; a key has more in one


def find_credential(text: str) -> str | None:
    """What kind of secret `text` holds, by its form; None where it holds none that can be told."""
    return next((what for what, pattern in FORMS.items() if pattern.search(text)), None)


def find_in_comment(line: str) -> str | None:
    """As `find_credential`, of what stands behind a `#`: words beside each other are prose there."""
    comment = line.partition("#")[2]
    return next((what for what in ("a password in an address", "an API key") if FORMS[what].search(comment)), None)


def names_secret(name: str) -> bool:
    """Whether an argument or a variable of this name holds a secret: `--api-key`, `HF_TOKEN`; not `--max-tokens`."""
    words = [word for word in re.split(r"[-_.]+", name.partition("=")[0].lower()) if word]
    if not words:
        return False
    joined, last, before = "-".join(words), words[-1], words[-2] if len(words) > 1 else ""
    if SECRET_WORDS & set(words) or any(full.startswith(joined) and len(joined) >= n for full, n in SHORTENED.items()):
        return True
    return (last in ("key", "keys") and before not in COLUMNS) or (last == "token" and before not in SPECIAL)


def is_variable_name(text: str) -> bool:
    """Whether `text` is the name of an environment variable as people write them, and no key."""
    words = text.split("_")
    key = any(len(word) > LONGEST_WORD and re.search(r"\d", word) for word in words)
    return bool(VARIABLE.fullmatch(text)) and not key


def fault_of_address(url: str) -> str | None:
    """What is wrong with the address of a server, without repeating it; None where it is plain http or https."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"is no address ({'its port is not within 0 and 65535' if 'ort' in str(error) else 'see its brackets'})"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or re.search(r"[\s\x00-\x1f\x7f]", url):
        return "is no address: write http://HOST:PORT/v1, or https"
    if parts.username is not None or parts.password is not None:
        return "holds a user or password: name the variable that holds the key in api_key_env"
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        return "has a part behind ? or #, which no call would keep: a key goes into the variable that api_key_env names"
    return None
