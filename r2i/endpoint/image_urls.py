"""Pictures as URLs of a request: the bytes themselves, or copies in a folder that a server on this host reads."""

import os
import platform
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from r2i.core.disk import is_running
from r2i.core.errors import EndpointError
from r2i.endpoint.base import Picture
from r2i.endpoint.chat import data_url, mime_type

OWNER_ONLY = 0o600  # pictures may be private, and a kill leaves them: the server runs as the same user


@contextmanager
def image_urls(pictures: Sequence[Picture], folder: str | None) -> Iterator[list[bytes]]:
    """URLs of `pictures`, valid within the block: data: URLs, or file:// URLs of copies in `folder`.

    Copies that killed processes left there go first. Raises ImageError where a picture can't be read, ValueError where
    it is no JPEG or PNG, EndpointError where the folder can't be written.
    """
    if folder is None:
        yield [data_url(picture.load()) for picture in pictures]
        return
    place = Path(folder).resolve()
    _clear_remains(place)
    files: list[Path] = []
    try:
        for picture in pictures:
            data = picture.load()
            suffix = mime_type(data).partition("/")[2]
            files.append(place / f"{_prefix()}{os.getpid()}-{uuid.uuid4().hex}.{suffix}")
            _write(files[-1], data)
        yield [file.as_uri().encode() for file in files]
    finally:
        for file in files:
            file.unlink(missing_ok=True)


def _prefix() -> str:
    """Before the process's number in a copy's name: other hosts may share the folder."""
    host = "".join(letter for letter in platform.node() if letter.isascii() and letter.isalnum())
    return f"r2i-{host}-"


@lru_cache(maxsize=16)
def _clear_remains(folder: Path) -> None:
    """Remove the copies of this host's processes that are gone, once for each folder."""
    for file in sorted(folder.glob(f"{_prefix()}*-*")) if folder.is_dir() else []:
        pid = file.name.removeprefix(_prefix()).partition("-")[0]
        if pid.isdecimal() and not is_running(int(pid)):
            file.unlink(missing_ok=True)


def _write(file: Path, data: bytes) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "wb") as out:  # noqa: PTH123
            out.write(data)
    except OSError as error:
        raise EndpointError(
            f"image_folder {file.parent} can't be written: {error}", "free space, or unset it"
        ) from error
