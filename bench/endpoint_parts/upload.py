"""Requests and bytes on the way from a voted question to a train row, at images of 2 megapixels.

The stage itself (stages/overlay.py, the paper profile's prompts and sampling) runs in a folder of its own, against
a server of ours that counts. The images are made of a photograph, so that their JPEGs are as large as a
photograph's of that size.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from bench.endpoint_parts.plan import Plan
from bench.endpoint_parts.serving import ROOT, serving
from r2i.core import paths
from r2i.core.boxes import Box
from r2i.core.drawing import make_crop
from r2i.core.images import jpeg_bytes, perceptual_hash, sha256
from r2i.core.params import Cut
from r2i.core.records import IMAGES, OK, REGIONS, TRAIN, VOTES
from r2i.core.tables import Row, read_table, write_table

QUESTIONS = 10
WIDTH, HEIGHT = 1664, 1216  # 2.02 megapixels
BOX = 280  # side of a region, pixels: 3.9 % of the image, the median of ZoomBench
SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # of overlay and of drawing.outline
    "paper": ({}, {}),
    "whole image, quality 95": ({"max_pixels": None}, {}),
    "whole image, quality 85": ({"max_pixels": None}, {"quality": 85}),
}
REPLIES = (("wrong answers", '["a red one", "a green one", "a white one"]'), ("", "<answer>none of them</answer>"))


def upload(scratch: Path, scale: float) -> dict[str, Any]:
    """By settings of the overlay stage. A megabyte is 10^6 bytes of HTTP bodies, base64 and all."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["profile"] = "paper"
    paper = params["profiles"]["paper"]
    measured = {}
    for name, (settings, outline) in SETTINGS.items():
        folder = scratch / name
        crop_kb = make_tables(folder, Cut(**paper["drawing"]["cut"]))
        with serving(Plan(script=REPLIES)) as server:
            for model in ("teacher", "student"):
                paper["overlay"][model] = {"kind": "openai", "model": model, "base_url": server.url}
            overlay = {**paper["overlay"], **settings}
            drawing = {**paper["drawing"], "outline": {**paper["drawing"]["outline"], **outline}}
            own = {"execution": {}, "overlay": overlay, "drawing": drawing}
            run_overlay(folder, {**params, "profiles": {"paper": {**paper, **own}}})
            counts = server.counts()
        rows = read_table(folder / paths.TRAIN, TRAIN, "overlay", ["row_id", "image", "status"])
        assert [row["status"] for row in rows] == [OK] * QUESTIONS, "every question should have become a row"
        measured[name] = {
            "requests_per_question": counts["received"] / QUESTIONS,
            "megabytes_per_question": counts["megabytes_in"] / QUESTIONS,
            "row_jpeg_kb": sum(len(row["image"]) for row in rows) / QUESTIONS / 1e3,
            "crop_jpeg_kb": crop_kb,
        }
    return {"upload": {"questions": QUESTIONS, "image": [WIDTH, HEIGHT], "region": [BOX, BOX], **measured}}


def make_tables(folder: Path, cut: Cut) -> float:
    """What the stages before overlay leave: images, regions, votes that are all kept. Gives a crop's mean KB."""
    images, regions, votes = [], [], []
    for number, (image, box) in enumerate(photographs()):
        data = jpeg_bytes(image)
        image_id, region_id = sha256(data), f"region {number}"
        images.append(
            _row(IMAGES, image_id=image_id, width=WIDTH, height=HEIGHT, phash=perceptual_hash(image), image=data)
        )
        crop = make_crop(image, box, cut)
        regions.append(_row(REGIONS, region_id=region_id, image_id=image_id, box=box, crop=crop))
        votes.append(
            _row(
                VOTES, question_id=f"question {number}", region_id=region_id, image_id=image_id,
                question="What colour is the ribbon?", dimension="color", answer="a blue one",
                agree=8, valid=8, asked=8, groups=[{"answer": "a blue one", "count": 8}],
            )
        )  # fmt: skip
    write_table(folder / paths.IMAGES, images, IMAGES)
    write_table(folder / paths.REGIONS, regions, REGIONS)
    write_table(folder / paths.VOTES, votes, VOTES)
    return sum(len(region["crop"]) for region in regions) / QUESTIONS / 1e3


def _row(schema: Any, **values: Any) -> Row:
    return dict.fromkeys(schema.names) | {"status": OK, "reason": ""} | values


def photographs() -> Iterator[tuple[Image.Image, Box]]:
    """Distinct pictures of WIDTH x HEIGHT, tiled from matplotlib's sample photograph, each with a region."""
    from matplotlib.cbook import get_sample_data

    tile = np.asarray(Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB"))
    chance = np.random.default_rng(0)
    repeats = (HEIGHT // tile.shape[0] + 1, WIDTH // tile.shape[1] + 1, 1)
    for _ in range(QUESTIONS):
        shift = chance.integers(0, tile.shape[0], 2)
        pixels = np.roll(np.tile(tile, repeats), shift, (0, 1))[:HEIGHT, :WIDTH]
        left, top = int(chance.integers(0, WIDTH - BOX)), int(chance.integers(0, HEIGHT - BOX))
        yield Image.fromarray(pixels), Box(left, top, left + BOX, top + BOX)


def run_overlay(folder: Path, params: dict[str, Any]) -> None:
    """The stage, in `folder`."""
    (folder / "params.yaml").write_text(json.dumps(params), encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "R2I_STORE": str(folder / "store")}
    subprocess.run([sys.executable, str(ROOT / "stages" / "overlay.py")], cwd=folder, env=env, check=True)
