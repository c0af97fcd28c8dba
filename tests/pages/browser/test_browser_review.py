"""Two people review in a real browser; the server is killed in between."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from r2i.core import paths
from r2i.core.records import VOTES as SCHEMA
from r2i.core.tables import read_table, write_table
from r2i.pages.review.app import review_app
from r2i.pages.review.desk import Desk
from r2i.pages.review.rows import Questions
from r2i.review.decisions import Decision, read_decisions

ROOT = Path(__file__).parents[3]
HOSTILE = (
    "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\"> \u202edesrever "
    "\u0000 😀 $\\frac{1}{2}$ </textarea><script>document.title='taken'</script> " + "long " * 2000
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextmanager
def server(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`r2i review questions` as a process of its own, in the current directory."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Path("server.log").open("ab") as log:
        command = [sys.executable, "-m", "r2i.cli.main", "review", "questions", "--of", "voted", "--port", str(port)]
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, Path("server.log").read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def is_fault(said: ConsoleMessage) -> bool:
    """An error, but for the line that chromium writes about each page of status 400."""
    return said.type == "error" and "400" not in said.text


def visit(browser: Browser, address: str, name: str, **options: object) -> Page:
    """A reviewer with a browser of their own, at their first row."""
    page = browser.new_context(viewport={"width": 1280, "height": 1000}, **options).new_page()  # type: ignore[arg-type]
    page.errors = []  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.errors.append(str(error)))  # type: ignore[attr-defined]
    page.on("console", lambda said: page.errors.append(said.text) if is_fault(said) else None)  # type: ignore[attr-defined]
    page.goto(address)
    page.fill("#name", name)
    page.click("text=Start")
    expect(page.locator("#stage image")).to_be_visible()
    page.wait_for_load_state("load")
    return page


def says(page: Page, role: str, text: str) -> None:
    """Wait for a page that says it, and for its script."""
    expect(page.get_by_role(role)).to_contain_text(text)  # type: ignore[arg-type]
    page.wait_for_load_state("load")


def decided() -> list[Decision]:
    return read_decisions(paths.REVIEWED_QUESTIONS).all


def subject_of(page: Page) -> str:
    return page.url.rpartition("/row/")[2].partition("?")[0]


def sides(page: Page) -> list[int]:
    return [int(page.input_value(f"#{side}")) for side in ("left", "top", "right", "bottom")]


def drag(page: Page, handle: str, dx: float, dy: float) -> None:
    """Pull a handle by so many pixels of the image."""
    found = page.locator(f'#stage .handle[data-name="{handle}"]').bounding_box()
    scale = page.evaluate("document.getElementById('stage').getScreenCTM().a")
    assert found
    x, y = found["x"] + found["width"] / 2, found["y"] + found["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx * scale / 2, y + dy * scale / 2)
    page.mouse.move(x + dx * scale, y + dy * scale)
    page.mouse.up()


def test_two_reviewers_at_once_and_a_server_that_is_killed_lose_nothing(browser: Browser, chain: Path) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with server(port) as process:
        ann, bob = visit(browser, address, "ann"), visit(browser, address, "bob")
        first = subject_of(ann)
        assert subject_of(bob) == first  # two for a row
        before = sides(ann)
        drag(ann, "left edge", 4, 0)
        drag(ann, "bottom edge", 0, -3)
        moved = [before[0] + 4, before[1], before[2], before[3] - 3]
        assert sides(ann) == moved
        view = ann.get_attribute("#crop", "viewBox")
        assert view == f"{moved[0]} {moved[1]} {moved[2] - moved[0]} {moved[3] - moved[1]}"
        ann.keyboard.press("f")
        says(ann, "status", "Saved: fix")
        bob.click("#accept")
        says(bob, "status", "Saved: accept")
        # one by mouse and one by keyboard, side by side
        second = subject_of(ann)
        assert second == subject_of(bob) != first
        ann.keyboard.press("a")
        says(ann, "status", second)
        bob.keyboard.press("r")
        expect(bob.locator("#reason")).to_be_focused()
        bob.select_option("#reason", "wrong_answer")
        bob.fill("#note", "half typed")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert [(one.reviewer, one.subject, one.verdict) for one in decided()] == [
        ("ann", first, "fix"), ("bob", first, "accept"), ("ann", second, "accept"),
    ]  # fmt: skip
    assert decided()[0].fix.changes == {"box": moved} and decided()[0].was.box == before
    with paths.REVIEWED_QUESTIONS.open("ab") as file:
        file.write(b'{"decision_id": "0123')  # what a kill in the middle of a line leaves
    with server(port):
        bob.click("#reject")  # the page that was open when the server died
        says(bob, "status", "Saved: reject")
        cat = visit(browser, address, "cat")
        assert subject_of(cat) in (first, second)  # where the two differ a third is asked first
        cat.click("#accept")
        says(cat, "status", "Saved: accept")
        cat.goto(address)
        expect(cat.locator("main")).to_contain_text("no decisions and are left out")
        expect(cat.locator("main")).to_contain_text("1 accepted")
    found = read_decisions(paths.REVIEWED_QUESTIONS)
    assert len(found.all) == 5 and len(found.bad) == 1 and not found.torn
    assert [one.reviewer for one in found.all] == ["ann", "bob", "ann", "bob", "cat"]
    assert found.all[3].note == "half typed" and found.all[3].seconds is not None
    assert [error for page in (ann, bob, cat) for error in page.errors] == []  # type: ignore[attr-defined]


@pytest.fixture
def page(browser: Browser, chain: Path, serving: Callable) -> Iterator[Page]:
    from r2i.core.params import load_params

    app = review_app(Desk(Questions("voted", load_params(Path("params.yaml"))), 20, 0))
    with serving(app) as address:
        found = visit(browser, address, "ann")
        yield found
        assert found.errors == []  # type: ignore[attr-defined]
        found.context.close()


def test_the_box_is_moved_by_keys_by_numbers_and_by_its_middle(page: Page) -> None:
    before = sides(page)
    page.keyboard.press("b")
    expect(page.locator('.handle[data-name="left edge"]')).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert sides(page) == [before[0] + 1, before[1] + 2, before[2], before[3]]
    assert page.get_attribute('.handle[data-name="top edge"]', "aria-valuenow") == str(before[1] + 2)
    page.click("#draw")
    assert sides(page) == before
    assert page.locator(".changed").count() == 0
    page.fill("#left", str(before[0] + 5))
    assert page.get_attribute("#stage .region", "x") == str(before[0] + 5)
    page.click("#draw")
    drag(page, "top left", 2, 1)
    assert sides(page) == [before[0] + 2, before[1] + 1, before[2], before[3]]
    page.click("#accept")
    says(page, "alert", "you changed box")
    assert sides(page) == [before[0] + 2, before[1] + 1, before[2], before[3]]  # as it was typed, and marked
    assert [field.get_attribute("id") for field in page.locator(".changed").all()] == ["left", "top"]
    page.click("#draw")
    assert sides(page) == before and page.locator(".changed").count() == 0
    for _ in range(200):
        page.locator('.handle[data-name="left edge"]').press("Shift+ArrowRight")
    assert sides(page)[0] == before[2] - 1  # an edge stops before its opposite
    page.keyboard.press("Escape")
    page.keyboard.press("z")
    assert page.get_attribute("#zoom", "aria-pressed") == "true"


def test_a_whole_row_is_decided_with_the_keyboard_alone_and_taken_back(page: Page) -> None:
    first = subject_of(page)
    page.keyboard.press("q")
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("what is in the box? a f r")  # letters are letters in a field
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    says(page, "alert", "you changed question")
    assert page.input_value("#question") == "what is in the box? a f r"
    page.locator("body").press("f")
    says(page, "status", first)
    assert decided()[0].fix.changes == {"question": "what is in the box? a f r"}
    page.keyboard.press("u")
    page.wait_for_url(f"**/row/{first}")
    page.wait_for_load_state("load")
    assert [one.verdict for one in decided()] == ["fix", "undo"]
    page.keyboard.press("s")
    page.wait_for_url(lambda url: first not in url)
    page.wait_for_load_state("load")
    page.keyboard.press("f")
    says(page, "alert", "nothing was changed")
    page.keyboard.press("r")
    page.locator("#reason").press("Escape")
    page.click("#reject")
    says(page, "alert", "say why")
    assert len(decided()) == 2


def test_enter_in_a_field_and_a_key_that_is_held_decide_nothing(page: Page) -> None:
    first = page.url
    for field in ("#dimension", "#left"):
        page.locator(field).press("Enter")
    held = "new KeyboardEvent('keydown', {key: 'a', repeat: true, bubbles: true})"
    page.evaluate(f"document.body.dispatchEvent({held})")
    page.wait_for_timeout(500)
    assert page.url == first and decided() == []
    page.fill("#note", "seen")
    page.click("#accept")
    says(page, "status", "Saved: accept")


def test_hostile_text_is_text_and_comes_back_unchanged(browser: Browser, chain: Path, serving: Callable) -> None:
    from r2i.core.params import load_params

    rows = read_table(paths.VOTES, SCHEMA, "vote")
    group = [{"answer": HOSTILE, "count": 8}]
    write_table(paths.VOTES, [rows[0] | {"question": HOSTILE, "answer": HOSTILE[:250], "groups": group}], SCHEMA)
    shutil.rmtree(paths.TRAIN)  # its options belong to another answer
    with serving(review_app(Desk(Questions("voted", load_params(Path("params.yaml"))), 20, 0))) as address:
        page = visit(browser, address, HOSTILE[:60])
        page.click("text=What the teachers answered")
        page.wait_for_timeout(200)
        assert "taken" not in page.title() and page.errors == []  # type: ignore[attr-defined]
        assert page.evaluate("document.querySelectorAll('main script, main img').length") == 0
        assert page.input_value("#question").startswith("<script>document.title='taken'</script><img src=x")
        page.click("#accept")  # nothing was typed: nothing has changed, whatever the browser did to NUL and line ends
        page.wait_for_url("**/next**")
        assert decided()[0].was.question == HOSTILE and decided()[0].reviewer == HOSTILE[:60].strip()
        page.goto(address)
        assert "taken" not in page.title() and page.errors == []  # type: ignore[attr-defined]
        page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    browser: Browser, chain: Path, serving: Callable, findings: Callable, scheme: str
) -> None:
    from r2i.core.params import load_params

    with serving(review_app(Desk(Questions("voted", load_params(Path("params.yaml"))), 20, 0))) as address:
        page = visit(browser, address, "ann", color_scheme=scheme)
        assert findings(page) == []
        page.click("#accept")
        page.set_viewport_size({"width": 390, "height": 800})
        expect(page.get_by_role("status")).to_be_visible()
        assert findings(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.goto(address)
        assert findings(page) == []
        page.context.close()


def test_everything_but_dragging_works_without_javascript(browser: Browser, chain: Path, serving: Callable) -> None:
    from r2i.core.params import load_params

    with serving(review_app(Desk(Questions("voted", load_params(Path("params.yaml"))), 20, 0))) as address:
        page = visit(browser, address, "ann", java_script_enabled=False)
        before = sides(page)
        page.fill("#right", str(before[2] - 2))
        page.click("#fix")
        says(page, "status", "Saved: fix")
        assert decided()[0].fix.changes == {"box": [before[0], before[1], before[2] - 2, before[3]]}
        page.context.close()
