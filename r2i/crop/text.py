"""Lines of text in a photograph: those that stand in it once."""

from PIL import Image

from r2i.crop.finders import Candidate, Finding, Refused
from r2i.ocr.language import is_repeated
from r2i.ocr.reading import Reader

REPEATED = "repeated_text"  # reason of a text that stands in its image more than once


def find_text(image_id: str, image: Image.Image) -> Finding:
    """Each line with the detector's score. `name`: what the detector's own reader makes of it.

    Raises EndpointError where the package is missing.
    """
    readings = Reader("rapidocr").read(image)
    repeated = [one for one in readings if is_repeated(one.text, readings)]
    found = [Candidate(one.box, one.found, name=one.text) for one in readings if one not in repeated]
    return Finding(found, tuple(Refused(one.text, one.box, REPEATED) for one in repeated))
