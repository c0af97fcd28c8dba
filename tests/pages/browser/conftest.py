"""A real browser, and an application served to it on a free port of this machine."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright
from starlette.applications import Starlette

from r2i.pages.web.serve import bind, server_of, url_of

SERIOUS = ("serious", "critical")


def chromium() -> Path | None:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    return Path(found) if found else None


@pytest.fixture(scope="module")  # for longer, and playwright's event loop would be in the way of other tests'
def browser() -> Iterator[Browser]:
    """The system's chromium, headless; without one the test is skipped, in CI it fails."""
    path = chromium()
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no chromium on this machine: `apt install chromium`")
    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@contextmanager
def serve_in_thread(app: Starlette) -> Iterator[str]:
    """The address (http://127.0.0.1:PORT, without a slash at its end) of `app` while the block runs."""
    with bind("127.0.0.1", 0) as listening:
        server = server_of(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.started
        try:
            yield url_of(listening).rstrip("/")
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def serving() -> Callable[[Starlette], AbstractContextManager[str]]:
    """`with serving(app) as address:`"""
    return serve_in_thread


@pytest.fixture
def findings() -> Callable[[Page], list[str]]:
    """What axe finds serious or critical on a page: `rule: elements`."""

    def look(page: Page) -> list[str]:
        found = Axe().run(page).response["violations"]
        return [
            f"{rule['id']}: {[node['html'] for node in rule['nodes']][:3]}"
            for rule in found
            if rule["impact"] in SERIOUS
        ]

    return look
