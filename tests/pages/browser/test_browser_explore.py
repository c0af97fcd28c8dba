"""The explorer in a real browser: filter → row → lineage → back, hostile text, keyboard, accessibility."""

import http.client
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pages.made_explored import HOSTILE
from playwright.sync_api import Browser, Page
from starlette.applications import Starlette

from r2i.pages.explore.app import explorer

Serving = Callable[[Starlette], AbstractContextManager[str]]


@pytest.fixture
def made(made_explored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_explored, tmp_path / "run"))


@pytest.fixture
def address(made: Path, serving: Serving, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.chdir(made)
    with serving(explorer()) as found:
        yield found


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A page on which no script may fail, and which may ask this machine alone; closed before its server."""
    context = browser.new_context()
    found = context.new_page()
    wrong: list[str] = []
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    found.on("request", lambda r: wrong.append(r.url) if urlsplit(r.url).hostname != "127.0.0.1" else None)
    yield found
    context.close()
    assert wrong == []


def test_from_a_filter_to_a_row_to_its_image_and_back(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("row", name="Answers").get_by_role("link", name="Answers", exact=True).click()
    everything = page.locator("#count").inner_text()
    page.get_by_role("complementary").get_by_role("link", name="teacher-a").click()
    page.get_by_role("complementary").get_by_role("link", name="ok", exact=False).first.click()
    chosen, where = page.locator("#count").inner_text(), page.url
    assert chosen != everything and "teacher=teacher-a" in where and "status=ok" in where
    page.locator("table.rows tbody a").nth(3).click()
    page.get_by_role("region", name="Regions", exact=True).locator("li a").first.click()
    assert "/row/regions" in page.url
    page.get_by_role("region", name="Images", exact=True).locator("li a").first.click()
    assert "/row/images" in page.url
    page.locator("svg a").first.click()  # a box over the image leads to its region
    assert "/row/regions" in page.url
    for _ in range(4):
        page.go_back()
    assert page.url == where and page.locator("#count").inner_text() == chosen
    page.locator("table.rows tbody a").nth(3).click()
    page.locator(".crumb a").click()
    assert page.url == where


def test_every_picture_is_seen(page: Page, address: str) -> None:
    for path in ("/t/images?look=gallery", "/t/regions?look=gallery&status=ok", "/t/predictions?look=gallery"):
        page.goto(address + path)
        page.evaluate("[...document.images].forEach(i => { i.loading = 'eager' })")
        page.wait_for_load_state("networkidle")
        sizes = page.evaluate("[...document.images].map(i => i.naturalWidth)")
        assert sizes and min(sizes) > 0, path


def test_boxes_lie_where_the_regions_are(page: Page, address: str) -> None:
    """A box of the full image's pixels, on an image of another size on the screen: to a pixel of the screen."""
    page.goto(address + "/t/images")
    page.locator("table.rows tbody a").first.click()
    page.wait_for_load_state()
    image = page.locator(".frame img").bounding_box()
    box = page.locator(".frame rect").first
    drawn = box.bounding_box()
    assert image and drawn
    scale = image["width"] / int(page.locator(".frame img").get_attribute("width") or 0)
    for name, side, start in (("x", "width", image["x"]), ("y", "height", image["y"])):
        stroke = 2 * scale  # bounding boxes of an SVG count the line
        assert abs(drawn[name] - start - float(box.get_attribute(name) or "nan") * scale) <= 1 + stroke  # type: ignore[literal-required]
        assert abs(drawn[side] - float(box.get_attribute(side) or "nan") * scale) <= 2 + 2 * stroke  # type: ignore[literal-required]


def test_nothing_that_a_teacher_wrote_runs(page: Page, address: str) -> None:
    page.goto(address + "/t/answers?status=failed")
    page.locator("table.rows tbody a").first.click()
    page.wait_for_load_state()
    assert page.evaluate("window.pwned") is None
    assert page.locator("main script, main img[src=x]").count() == 0
    details = page.locator("details.long").first
    assert not details.get_by_text("THE END").is_visible()
    details.locator("summary").first.click()
    text = details.locator(":scope > .said").inner_text()
    assert "<script>window.pwned = 1</script>" in text and "␀" in text and "U+202E" in text and "👩‍🔬" in text
    assert text.endswith("THE END") and len(text) >= len(HOSTILE)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.goto(page.url.replace("/row/", "/story/"))
    assert "<script>window.pwned" in page.locator("pre").inner_text() and page.evaluate("window.pwned") is None


def test_the_keyboard_is_enough(page: Page, address: str) -> None:
    page.goto(address + "/t/answers")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.locator("#text").focus()
    page.keyboard.type("color")
    page.keyboard.press("Enter")
    page.wait_for_url("**/t/answers?text=color*")
    page.locator("summary", has_text="Export").focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("link", name="Parquet").is_visible()
    page.locator("table.rows tbody a").first.focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    page.wait_for_url("**/row/answers?**")


def test_a_download_is_the_chosen_rows(page: Page, address: str, tmp_path: Path) -> None:
    page.goto(address + "/t/train?view=full")
    page.locator("summary", has_text="Export").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Ids alone").click()
    download.value.save_as(tmp_path / "ids")
    count = page.locator("#count").inner_text().split()[0]
    assert len((tmp_path / "ids").read_text().split()) == int(count)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_finding_of_axe(
    browser: Browser, address: str, findings: Callable[[Page], list[str]], scheme: Any
) -> None:
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    found = {}
    for path in ("/", "/t/answers?status=ok&text=color", "/t/images?look=gallery", "/t/nothing"):
        page.goto(address + path)
        found[path] = findings(page)
    page.goto(address + "/t/answers?status=failed")
    page.locator("table.rows tbody a").first.click()
    page.wait_for_load_state()
    found["row"] = findings(page)
    context.close()
    assert {path: what for path, what in found.items() if what} == {}


@pytest.mark.parametrize("width", [390, 820, 1280])
def test_no_page_is_wider_than_the_screen(browser: Browser, address: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, java_script_enabled=True)
    page = context.new_page()
    for path in ("/", "/t/answers", "/t/images?look=gallery", "/t/predictions", "/t/answers?status=failed"):
        page.goto(address + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    page.locator("table.rows tbody a").first.click()
    page.wait_for_load_state()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_it_works_without_javascript(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address + "/t/answers")
    page.get_by_label("Text in").fill("color")
    page.get_by_role("button", name="Search").click()
    assert "text=color" in page.url and "of" in page.locator("#count").inner_text()
    context.close()


def raw(address: str, path: str, **headers: str) -> tuple[int, str]:
    """Status and body of a request that no browser would make."""
    asked = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
    asked.putrequest("GET", path, skip_host="Host" in headers)
    for name, value in headers.items():
        asked.putheader(name, value)
    asked.endheaders()
    answer = asked.getresponse()
    return answer.status, answer.read().decode("utf-8", "replace")


def test_other_hosts_are_refused(address: str) -> None:
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "169.254.169.254"):
        status, body = raw(address, "/t/answers", Host=host)
        assert status == 400 and "answer" not in body.replace("does not answer", "")
    assert raw(address, "/")[0] == 200


def test_no_path_leads_to_files(address: str, made: Path) -> None:
    (made / "secret.txt").write_text("the secret")
    shutil.copy(made / "secret.txt", made / "data" / "secret.txt")
    tried = ["/static/../secret.txt", "/static/%2e%2e/secret.txt", "/../secret.txt", "/t/../secret.txt", "/secret.txt"]
    tried += ["/static//secret.txt", "/export/..%2fsecret.txt?as=csv", "/row/images?id=../../secret.txt"]
    tried += ["/picture?table=..%2f..&column=image&id=secret.txt"]
    tried += [f"/picture?table=images&column=image&id={made}/secret.txt"]
    for path in tried:
        status, body = raw(address, path)
        assert status in (400, 404) and "the secret" not in body, path
