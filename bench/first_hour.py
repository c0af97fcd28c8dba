"""The first hour: docs/own.md as it stands, twelve photographs, one server that takes few options.

`python bench/first_hour.py` runs the page's commands in a clone, against a server of ours without `n`, `seed` and JSON
schema, which reads a coloured sticker in a picture where it is large enough; then a second clone pulls and has nothing
to do. Writes bench/results/first_hour.json: seconds, requests, requests that a refused option wasted, train rows, the
model's zooming gap with its 95 % interval (shares of 1), commands. About 2 minutes on 2 quiet cores.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import skimage
from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parent.parent
# not bench itself, whose labs.py would hide tests/labs
sys.path[:] = [str(ROOT), str(ROOT / "tests"), *(path for path in sys.path if Path(path).resolve() != ROOT / "bench")]

from clone import clone  # noqa: E402 - needs the path
from endpoint.fake_server import Answer, choices, error, serve  # noqa: E402

from bench.result import STAGES, note_code, write_result  # noqa: E402

RESULT = ROOT / "bench" / "results" / "first_hour.json"
PAGE = ROOT / "docs" / "own.md"
PHOTOGRAPHS = Path(skimage.__file__).parent / "data"
NAMES = ("astronaut.png", "camera.png", "cell.png", "chelsea.png", "coffee.png", "coins.png", "hubble_deep_field.jpg",
         "ihc.png", "moon.png", "motorcycle_left.png", "retina.jpg", "rocket.jpg")  # fmt: skip
COLORS = {"magenta": (255, 0, 255), "cyan": (0, 255, 255), "lime": (0, 255, 0), "yellow": (255, 255, 0)}
SIDE = 0.06  # of a sticker, share of the picture's width
SEEN = 0.02  # share of a picture that a sticker must fill to be read
REFUSED = ("n", "seed", "response_format")
QUESTION = "What color is the square sticker with the black border?"
CHECKS = dict.fromkeys(("answerable_from_crop", "one_clear_answer", "same_in_both", "names_target"), True)
ADDRESS, REMOTE = "http://127.0.0.1:8000/v1", "/mnt/labs/r2i"  # as the page has them


def paste_sticker(picture: Image.Image, number: int, share: float = SIDE) -> tuple[Image.Image, str, list[int]]:
    """The picture with a sticker on it, its color, and its box in pixels, xyxy."""
    wide, high = picture.size
    side, name = round(share * wide), list(COLORS)[number % len(COLORS)]
    left = round(wide * min(0.95 - share, 0.15 + 0.06 * number % 0.7))
    top = round(high * (0.7 - 0.05 * number % 0.6))
    box = [left, top, left + side, top + side]
    picture.paste((0, 0, 0), (left - 3, top - 3, left + side + 3, top + side + 3))
    picture.paste(COLORS[name], (left, top, left + side, top + side))
    return picture, name, box


def make_pools(folder: Path) -> None:
    """Twelve photographs, and two dozen questions about others: the same ones mirrored and upside down."""
    (folder / "photos").mkdir(parents=True)
    (folder / "asked").mkdir()
    lines = []
    for number, name in enumerate(NAMES):
        photo = Image.open(PHOTOGRAPHS / name).convert("RGB").resize((800, 600))
        paste_sticker(photo.copy(), number)[0].save(folder / "photos" / f"{Path(name).stem}.jpg", quality=92)
        for turn, turned in enumerate((ImageOps.mirror(photo), ImageOps.flip(photo))):
            shown, color, box = paste_sticker(turned, number + 5 * turn + 1)
            file = f"asked/{Path(name).stem}-{turn}.jpg"
            shown.save(folder / file, quality=92)
            item = {"image": file, "question": QUESTION, "options": list(COLORS), "answer": color, "box": box}
            lines.append(json.dumps(item))
    (folder / "questions.jsonl").write_text("\n".join(lines) + "\n")


class Reader:
    """Reads the sticker in a picture where it fills enough of it, and guesses elsewhere."""

    refused: tuple[str, ...] = REFUSED
    seen = SEEN

    def __init__(self) -> None:
        self.requests, self.wasted = 0, Counter[str]()
        self.lock = threading.Lock()

    def __call__(self, body: dict[str, Any]) -> Answer:
        with self.lock:
            self.requests += 1
            number = self.requests
            refused = next((name for name in self.refused if name in body), None)
            if refused:
                self.wasted[refused] += 1
                return error(400, f"Unsupported parameter: {refused}")
        *pictures, text = body["messages"][0]["content"]
        data = base64.b64decode(pictures[-1]["image_url"]["url"].partition(",")[2])
        return choices(self.say(text["text"], Image.open(BytesIO(data)).convert("RGB"), number))

    def say(self, prompt: str, picture: Image.Image, number: int) -> str:
        color, box = find_sticker(picture)
        (left, top, right, bottom), (wide, high) = box, picture.size
        seen = (right - left) * (bottom - top) >= self.seen * wide * high
        if "List the distinct objects" in prompt:
            found = [{"bbox_2d": scaled(box, picture.size), "label": "the square sticker"}] if color else []
            others = [{"bbox_2d": [20 + 90 * i, 20, 90 + 90 * i, 90], "label": f"thing {i}"} for i in range(3)]
            return json.dumps({"objects": [*found, *others]})
        if "Write up to" in prompt:
            return json.dumps([{"question": QUESTION, "dimension": "color"}] if color and seen else [])
        if "four criteria" in prompt:
            return f"The sticker is plain to see.\n{json.dumps(CHECKS)}"
        if "wrong answers" in prompt:
            return json.dumps([name for name in COLORS if f"Correct answer: {name}" not in prompt][:3])
        guess = hashlib.sha256(prompt.encode() + picture.tobytes()).digest()[0]
        said = color if seen else list(COLORS)[guess % len(COLORS)]
        if "Options:" in prompt:
            options = dict(re.findall(r"^\(?([A-D])[.)] (\w+)", prompt, re.M))
            letter = next((letter for letter, name in options.items() if name == said), "A")
            return f"It looks {said}.\n<answer>{letter}</answer>"
        return f"Look {number}: it is {said}.\n\\boxed{{{said}}}"


def find_sticker(picture: Image.Image) -> tuple[str, tuple[int, int, int, int]]:
    """The color of the largest patch of a sticker's color, and its box in pixels; "" where there is none."""
    pixels = np.asarray(picture, dtype=np.int32)
    best: tuple[str, tuple[int, int, int, int]] = ("", (0, 0, 0, 0))
    most = 0.0005 * pixels.shape[0] * pixels.shape[1]
    for name, color in COLORS.items():
        rows, columns = np.nonzero((np.abs(pixels - color).max(axis=2)) < 60)
        if len(rows) > most:
            most = len(rows)
            best = name, (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    return best


def scaled(box: tuple[int, int, int, int], size: tuple[int, int]) -> list[int]:
    return [round(1000 * edge / size[place % 2]) for place, edge in enumerate(box)]


def page_commands() -> list[list[str]]:
    """The commands of each console block of the page."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    return [[line[2:] for line in block.splitlines() if line.startswith("$ ")] for block in blocks]


def execute(folder: Path, commands: list[str], env: dict[str, str]) -> str:
    """Run commands in one shell; raises RuntimeError with what they said where one fails."""
    shell = ["bash", "-ec", "\n".join(commands)]
    done = subprocess.run(shell, cwd=folder, env=env, capture_output=True, text=True, timeout=900, check=False)
    said = done.stdout + done.stderr
    if done.returncode:
        raise RuntimeError(f"{commands} ended with {done.returncode}:\n{said[-6000:]}")
    return said


def environment(folder: Path, address: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("R2I_", "DVC_", "OMP_"))}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(folder),
        "DVC_NO_ANALYTICS": "1", "R2I_SERVER_TEACHER": address,
        "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@lab", "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@lab",
    }  # fmt: skip


def walk(folder: Path) -> dict[str, Any]:
    """The page in a clone below `folder`, then the second clone; the figures of the result, and what was said."""
    first, second, remote, reader = folder / "first", folder / "second", folder / "remote", Reader()
    first.mkdir()
    remote.mkdir()
    clone(first, "mini")
    make_pools(first / "data" / "pools")
    began, said, count = time.monotonic(), [], 0
    with serve() as server:
        server.answer = reader
        env = environment(first, server.url)
        execute(first, ["git add -A", "git commit --quiet --message start"], env)
        for commands in page_commands():
            count += len(commands)
            named = [line.replace(ADDRESS, server.url).replace(REMOTE, str(remote)) for line in commands]
            said.append(execute(first, named, env))
        asked = reader.requests
        execute(folder, [f"git clone --quiet {first} {second}"], env)
        nowhere = environment(second, "http://127.0.0.1:9/v1")
        told = [f"dvc remote add --local --default shared {remote}", "r2i pull", "dvc repro"]
        said.append(execute(second, told, nowhere))
    scores = json.loads((second / "metrics" / "evaluate.json").read_text())
    rows = json.loads((second / "metrics" / "overlay.json").read_text())["status"]["ok"]
    return {
        "seconds": round(time.monotonic() - began, 1),
        "requests": asked,
        "asked_by_the_second": reader.requests - asked,
        "wasted": sum(reader.wasted.values()),
        "wasted_by_option": dict(reader.wasted),
        "rows": rows,
        "gap": scores["gap"]["photos"],
        "gap_ci95": scores["gaps"]["photos"]["ci95"],
        "commands": count,
        "said": said,
    }


def main() -> None:
    code = note_code(*STAGES, PAGE)
    folder = Path(tempfile.mkdtemp(prefix="first-hour-"))
    try:
        found = walk(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found.pop("said")
    print(json.dumps(found, indent=1))
    write_result(RESULT, found, code)


if __name__ == "__main__":
    main()
