"""docs/report.png, the picture in the README: the top of data/report/report.html. `python bench/picture.py`."""

import shutil
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from r2i.core import paths
from r2i.core.errors import R2IError
from r2i.core.stage import explained

PICTURE = Path("docs/report.png")
WIDTH = 1280  # pixels
LAST = "#result > p"  # what the picture ends with
MARGIN = 12  # pixels below it
COLOURS = 128  # flat areas and text need no more: a quarter of the bytes


def main() -> None:
    """Open the report in the system's chromium and write its headline as a PNG."""
    if not paths.REPORT.is_file():
        raise R2IError(f"no {paths.REPORT}", "run `dvc repro report`")
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        raise R2IError("no chromium on this machine", "run `apt install chromium`")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 1000}, color_scheme="light")
        page.goto(paths.REPORT.resolve().as_uri())
        box = page.locator(LAST).bounding_box()
        assert box, f"the report has no {LAST}"
        height = round(box["y"] + box["height"]) + MARGIN
        data = page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": WIDTH, "height": height})
        shot = Image.open(BytesIO(data))
        shot.quantize(COLOURS).save(PICTURE, optimize=True)
        browser.close()
    print(f"{PICTURE}: {PICTURE.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    with explained():
        main()
