"""The report in a real browser, from disk with the network off: nothing runs, nothing is asked for, all of it reads."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from made_run import run_stage
from playwright.sync_api import Browser, Page
from report.made_report import make_hostile, make_whole_run

from r2i.core import paths

SECTIONS = ("result", "dimensions", "attention", "cost", "checks", "funnel", "teachers", "audit", "review", "spread",
            "training", "rows", "fixed", "broken", "still-wrong")  # fmt: skip
WIDTHS = (390, 820, 1280)


@dataclass
class Heard:
    """What a page said and asked for while it was open."""

    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


Opened = tuple[Page, Heard]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two reports: of a run with everything, and of the same with hostile texts."""
    folder = tmp_path_factory.mktemp("run")
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_whole_run(folder)
        for name in ("whole", "hostile"):
            if name == "hostile":
                make_hostile()
            run_stage(patch, "score")
            run_stage(patch, "report")
            found[name] = paths.REPORT.rename(f"{name}.html").resolve()
    return found


@pytest.fixture
def show(browser: Browser, reports: dict[str, Path]) -> Iterator[Callable[..., Opened]]:
    """`show("hostile", width=390)`: that report from disk, offline; every request but its own is refused and noted."""
    contexts = []

    def opened(name: str, width: int = 1280, **options: Any) -> Opened:
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, **options)
        contexts.append(context)
        page, heard, own = context.new_page(), Heard(), reports[name].as_uri()
        page.on("console", lambda message: heard.said.append(message.text))
        page.on("pageerror", lambda error: heard.said.append(str(error)))
        page.on("dialog", lambda dialog: (heard.said.append(dialog.message), dialog.dismiss()))

        def note(route: Any) -> None:
            if route.request.url == own:
                route.continue_()
            else:
                heard.asked.append(route.request.url)
                route.abort()

        page.route(lambda url: not url.startswith("data:"), note)
        page.goto(own)
        return page, heard

    yield opened
    for context in contexts:
        context.close()


def open_all(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")


@pytest.mark.parametrize("name", ["whole", "hostile"])
def test_it_opens_from_disk_with_the_network_off(show: Callable[..., Opened], name: str) -> None:
    page, heard = show(name)
    open_all(page)
    page.wait_for_load_state("networkidle")
    assert [page.locator(f"section#{one}").count() for one in SECTIONS] == [1] * len(SECTIONS)
    assert page.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
    assert page.locator("img").count() > 10
    assert (heard.asked, heard.said) == ([], [])


def test_hostile_text_is_read_and_never_run(show: Callable[..., Opened]) -> None:
    page, heard = show("hostile")
    open_all(page)
    assert page.evaluate("window.ran") is None
    assert page.locator("script, iframe, object, [onload], [onerror]").count() == 0
    text = page.locator("main").inner_text()
    for seen in (
        "<script>window.ran=1</script>",
        "{{ 7*7 }}",
        "⟨U+0000⟩",
        "⟨U+202E⟩",
        "\U0001f600",
        "\\frac{1}{2}",
        "&lt;b&gt;",
    ):
        assert seen in text
    assert "W" * 510 not in text
    assert (heard.asked, heard.said) == ([], [])


@pytest.mark.parametrize("name", ["whole", "hostile"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_every_width(show: Callable[..., Opened], name: str, width: int) -> None:
    page, _ = show(name, width)
    open_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("name", "scheme"), [("hostile", "light"), ("whole", "dark")])
def test_axe_finds_nothing_serious(
    show: Callable[..., Opened], findings: Callable[[Page], list[str]], name: str, scheme: str
) -> None:
    page, _ = show(name, 390 if scheme == "dark" else 1280, color_scheme=scheme)
    open_all(page)
    assert findings(page) == []


def test_it_can_be_read_with_the_keyboard_alone(show: Callable[..., Opened]) -> None:
    page, _ = show("whole")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#result"
    reason = page.locator("details.reason").first
    reason.locator("summary").focus()
    assert not reason.locator(".lost").is_visible()
    page.keyboard.press("Enter")
    assert reason.locator(".lost").is_visible()


def test_on_paper_all_is_open_and_the_contents_are_gone(show: Callable[..., Opened]) -> None:
    page, _ = show("whole", color_scheme="dark")
    closed = page.locator("details .lost").first
    assert not closed.is_visible()
    page.emulate_media(media="print")
    assert closed.is_visible()
    assert not page.locator("nav").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf(format="A4").startswith(b"%PDF")
