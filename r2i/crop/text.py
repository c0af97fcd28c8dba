"""Lines of text in a photograph: those that are whole and stand in it once."""

from collections.abc import Sequence

from PIL import Image

from r2i.crop.finders import Candidate, Finder, Finding, Refused
from r2i.ocr.language import is_part, is_repeated
from r2i.ocr.reading import Reading, load_reader

REPEATED = "repeated_text"  # reason of a text that stands in its image more than once
PART = "part_of_line"  # of one that goes on in another line


def load_text_finder() -> Finder:
    """Finds lines of text. Raises EndpointError where the package is missing."""
    reader = load_reader("rapidocr")

    def find(image_id: str, image: Image.Image) -> Finding:
        return find_text(reader.read(image))

    return find


def find_text(readings: Sequence[Reading]) -> Finding:
    """Each line of an image with the detector's score; `name`: what its own reader makes of it."""
    reasons = [_refuse(one, readings) for one in readings]
    judged = list(zip(readings, reasons, strict=True))
    found = [Candidate(one.box, one.found, name=one.text) for one, reason in judged if not reason]
    return Finding(found, tuple(Refused(one.text, one.box, reason) for one, reason in judged if reason))


def _refuse(one: Reading, readings: Sequence[Reading]) -> str:
    if is_repeated(one.text, readings):
        return REPEATED
    return PART if is_part(one, readings) else ""
