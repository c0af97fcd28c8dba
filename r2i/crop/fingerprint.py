"""What decides about region rows, as one hash: finished images are kept under it."""

import json
from pathlib import Path

from r2i.core.fingerprint import code_digests, library_versions
from r2i.core.images import file_sha256, sha256
from r2i.core.params import Crop
from r2i.core.records import REGIONS

LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "pycocotools", "sam2", "torch", "torchvision")
NO_MATTER = {"executor", "shards"}
IN_THE_LISTING = {"teacher", "listing", "prompts"}  # what the teacher replied is part of each image's key
WORKER = "r2i.crop.worker"  # one image into its rows, in every executor


def fingerprint(cfg: Crop) -> str:
    """32 hex digits that change with anything that may change a row or a byte of a crop.

    Names of local files stand for their content. Raises R2IError where a file of the code is missing.
    """
    params = cfg.model_dump(mode="json", exclude=NO_MATTER | IN_THE_LISTING)
    for name in ("sam2_model", "sam2_config"):
        path = Path(params[name])
        if cfg.method != "contours" and path.is_file():
            params[name] = file_sha256(path)
    parts = [params, REGIONS.to_string(show_field_metadata=False), code_digests(WORKER), library_versions(LIBRARIES)]
    return sha256(json.dumps(parts, sort_keys=True).encode())[:32]
