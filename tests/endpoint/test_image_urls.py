"""Copies of pictures for a server on this host: for its user's eyes alone, and gone even after a kill."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from PIL import Image

from r2i.core.images import jpeg_bytes
from r2i.endpoint.base import Picture
from r2i.endpoint.image_urls import image_urls

JPEG = jpeg_bytes(Image.new("RGB", (8, 8)))
KILLED = """
import os, signal, sys
from r2i.endpoint.base import Picture
from r2i.endpoint.image_urls import image_urls
with image_urls([Picture(lambda: open(sys.argv[2], 'rb').read())], sys.argv[1]):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_copy_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with image_urls([Picture(lambda: JPEG)], str(tmp_path)) as (url,):
            file = Path(url2pathname(urlparse(url.decode()).path))
            assert stat.S_IMODE(file.stat().st_mode) == 0o600 and file.read_bytes() == JPEG
    finally:
        os.umask(before)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_goes_with_the_next_and_nothing_else_does(tmp_path: Path) -> None:
    picture, folder = tmp_path / "a.jpg", tmp_path / "images"
    picture.write_bytes(JPEG)
    died = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(picture)], check=False)
    assert died.returncode == -signal.SIGKILL
    (left,) = folder.iterdir()
    assert stat.S_IMODE(left.stat().st_mode) == 0o600
    prefix = "-".join(left.name.split("-")[:2])
    others = {"holiday.jpg", f"{prefix}-{os.getppid()}-0.jpeg", "r2i-elsewhere-1-0.jpeg"}  # a running process, a host
    for name in others:
        (folder / name).write_bytes(JPEG)
    with image_urls([Picture(lambda: JPEG)], str(folder)) as urls:
        assert {file.name for file in folder.iterdir()} == others | {Path(urls[0].decode()).name}
    assert {file.name for file in folder.iterdir()} == others
