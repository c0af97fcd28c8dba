"""The schema of every table, with the unit of every column that has one.

Every row has `status` (`ok`, `rejected`: a rule dropped it, `failed`: it could not be processed)
and `reason` (a short slug; empty for `ok`). A failed call is never an answer, a vote or a "no".
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from r2i.core.provenance import CALL, CALL_TYPE

OK, REJECTED, FAILED = "ok", "rejected", "failed"
NOT_ASKED = "not_asked"  # reason of an answer that was saved: agreement was out of reach without it
ABSTAINED = frozenset({"no_answer", "too_long"})  # reasons of answers whose reply came, and held none


def is_unscored(row: Mapping[str, Any]) -> bool:
    """Whether a prediction's reply came, and neither a rule nor the judge could read it."""
    return row["status"] == OK and row["correct"] is None


def _f(name: str, kind: pa.DataType, doc: str = "") -> pa.Field:
    return pa.field(name, kind, metadata={"doc": doc} if doc else None)


_I64 = pa.int64()
_MASK = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])  # (H, W) and compressed run lengths
_S, _I, _F, _B = pa.string(), pa.int32(), pa.float64(), pa.binary()
_BOX = pa.list_(pa.int32())  # four numbers or null; a null of a fixed-size list can't be read back from Parquet
_TEXTS = pa.list_(pa.string())
_STATE = [
    _f("status", _S, "ok | rejected | failed"),
    _f("reason", _S, "short slug, empty for ok"),
]
_BOX_DOC = "xyxy, pixels of the full image, right and bottom exclusive"

IMAGES = pa.schema([
    _f("image_id", _S, "sha256 of the source file's bytes"),
    _f("source", _S, "pool and path inside it"),
    _f("pool", _S, "name of the pool in params"),
    _f("member", _S, "file inside the pool; of a tar or Parquet file, then ! and its member or row"),
    _f("start", _I64, "first byte of the image in that file; null where the whole file is the image"),
    _f("size", _I64, "bytes of the source image"),
    _f("format", _S, "as stored in the pool, e.g. JPEG"),
    _f("mode", _S, "Pillow mode as stored in the pool"),
    _f("width", _I, "pixels, upright (EXIF applied)"),
    _f("height", _I, "pixels, upright (EXIF applied)"),
    _f("phash", _S, "perceptual hash, 64 bits as hex"),
    _f("image", _B, "JPEG bytes, RGB, upright; null unless ok, or where the table refers to the pool"),
    *_STATE,
])  # fmt: skip

REGIONS = pa.schema([
    _f("region_id", _S, "hash of image_id and box"),
    _f("image_id", _S),
    _f("box", _BOX, _BOX_DOC),
    _f("score", _F, "0 to 1, confidence that the box holds one object; null: not known"),
    _f("area_share", _F, "box area / image area"),
    _f("crop", _B, "JPEG bytes of the box, upscaled; null unless ok"),
    _f("name", _S, "what the teacher called the object; empty where no teacher listed it"),
    _f("mask", _MASK, "COCO RLE of the object in the full image; null unless ok, or where no segmenter found it"),
    _f("listing", CALL_TYPE, "the teacher's call that listed the image's objects; null where there was none"),
    *_STATE,
])  # fmt: skip

QUESTIONS = pa.schema([
    _f("question_id", _S, "hash of region_id and the normalised question"),
    _f("region_id", _S),
    _f("image_id", _S),
    _f("question", _S),
    _f("dimension", _S, "as named by the teacher"),
    _f("checks", pa.list_(pa.bool_()), "verdicts in the order of r2i.question.reply.CHECKS; null if unchecked"),
    _f("repaired", pa.bool_(), "whether the JSON of a reply, to write or to check, had to be mended"),
    *CALL,
    _f("check", CALL_TYPE, "the validation call; null if unchecked"),
    *_STATE,
])  # fmt: skip

ANSWERS = pa.schema([
    _f("answer_id", _S, "hash of question_id, teacher and sample"),
    _f("question_id", _S),
    _f("image_id", _S),
    _f("teacher", _S, "name of the teacher in params"),
    _f("sample", _I, "0 .. n-1"),
    _f("reply", _S, "full text"),
    _f("answer", _S, "parsed answer, markup removed; empty unless ok"),
    *CALL,
    *_STATE,
])  # fmt: skip

VOTES = pa.schema([
    _f("question_id", _S),
    _f("region_id", _S),
    _f("image_id", _S),
    _f("question", _S),
    _f("dimension", _S),
    _f("answer", _S, "the most common answer, in its most common spelling"),
    _f("agree", _I, "samples that agree with it"),
    _f("valid", _I, "samples that are answers"),
    _f("asked", _I, "samples asked for; those that were saved are left out"),
    _f("groups", pa.list_(pa.struct([("answer", _S), ("count", _I)])), "all groups, largest first"),
    _f("judge", CALL_TYPE, "the judge's call; null where the rules decided"),
    *_STATE,
])  # fmt: skip

TRAIN = pa.schema([
    _f("row_id", _S, "hash of question_id and view"),
    _f("question_id", _S),
    _f("region_id", _S),
    _f("image_id", _S),
    _f("view", _S, "boxed | full | crop: what `image` shows"),
    _f("image", _B, "JPEG bytes; null unless ok"),
    _f("box", _BOX, _BOX_DOC),
    _f("question", _S),
    _f("options", _TEXTS, "in the order shown"),
    _f("answer", _S, "text of the right option"),
    _f("label", _S, "letter of the right option"),
    _f("prompt", _S, "the whole text that goes with the image"),
    _f("dimension", _S),
    _f("agree", _I, "teacher samples that gave the answer"),
    _f("right", _I, "student tries on the boxed image that were right"),
    _f("tries", _I, "student tries that gave an answer"),
    _f("distractor_calls", pa.list_(CALL_TYPE), "the teacher's calls for wrong answers, round after round"),
    _f("try_calls", pa.list_(CALL_TYPE), "the student's calls, try after try"),
    *_STATE,
])  # fmt: skip

BENCHMARK = pa.schema([
    _f("item_id", _S),
    _f("image_id", _S, "sha256 of the source image's bytes"),
    _f("cluster_id", _S, "items that are not independent share it: the image, or one question with cycled options"),
    _f("image", _B, "JPEG bytes, full view"),
    _f("crop", _B, "JPEG bytes, crop view"),
    _f("boxed", _B, "JPEG bytes, full view with the box drawn"),
    _f("crop_made", pa.bool_(), "whether the crop was cut from the box here (else it came so); null: none"),
    _f("magnification", _F, "pixels of the crop for one of the region, along a side; null: none, or not of the box"),
    _f("box", _BOX, _BOX_DOC),
    _f("question", _S),
    _f("options", _TEXTS, "in the order shown; empty for open questions"),
    _f("prompt", _S, "what the release asks, options and instructions in it; null where it has them apart"),
    _f("answer", _S, "gold answer: its text"),
    _f("label", _S, "letter of the gold option; empty for open questions"),
    _f("dimension", _S),
    _f("source", _S, "name of the benchmark"),
    _f("group", _S, "of benchmarks whose macro average is told apart"),
    _f("phash", _S, "perceptual hash of the full view, 64 bits as hex; null unless ok"),
    *_STATE,
])  # fmt: skip

PREDICTIONS = pa.schema([
    _f("prediction_id", _S, "item, view and sample"),
    _f("item_id", _S),
    _f("image_id", _S),
    _f("cluster_id", _S),
    _f("source", _S),
    _f("dimension", _S),
    _f("view", _S, "one of r2i.core.names.VIEWS"),
    _f("sample", _I, "0: greedy; 1 .. k: sampled"),
    _f("question", _S),
    _f("options", _TEXTS),
    _f("answer", _S),
    _f("label", _S),
    _f("reply", _S, "full text; of zoom: the second step's"),
    _f("first_reply", _S, "zoom: what the model said when it was asked where to look; empty else"),
    _f("zoom_box", _BOX, _BOX_DOC + "; what the zoom view's second step showed; null where it showed the full view"),
    _f("predicted", _S, "what the reply was read as: a letter or a text"),
    _f("rule", _S, "the rule that decided: r2i.scoring.RULES; none: unscored"),  # of r2i.grading; tables hold this text
    _f("correct", pa.bool_(), "null where the reply was not scored"),
    _f("verdict", CALL_TYPE, "the judge's call; null where a rule decided"),
    *CALL,
    _f("tokens_in", _I, "of the prompt, image tokens counted in; zoom: of both steps"),
    _f("tokens_out", _I, "of the reply; zoom: of both steps"),
    _f("vision_forwards", _I, "images that the vision tower read for this reply"),
    *_STATE,
])  # fmt: skip

ATTENTION = pa.schema([
    _f("attention_id", _S, "item and layer"),
    _f("item_id", _S),
    _f("cluster_id", _S),
    _f("layer", _I),
    _f("coverage", _F, "share of the attention to image tokens, mean over heads, that falls inside the box"),
    _f("heads", pa.list_(_F), "the same for each head; null where a head gives the image nothing"),
    _f("box_share", _F, "share of the image tokens inside the box, each by its overlap"),
    _f("image_share", _F, "attention to image tokens over all attention, mean over heads"),
    _f("inclusive", _F, "coverage as the reference counts it: every token that the box touches, whole"),
    _f("curve", pa.list_(_F), "coverage in each layer, from the first; null where it gives the image nothing"),
    _f("grid", pa.list_(_I), "rows and columns of image tokens"),
    _f("frame", pa.list_(_F), "xyxy, pixels of the full image: what the tokens cover"),
    _f("map", pa.list_(pa.float32()), "attention to each image token, row by row, mean over heads"),
    *_STATE,
])  # fmt: skip

TRUTH = pa.schema([
    _f("thing_id", _S),
    _f("image_id", _S),
    _f("box", _BOX, _BOX_DOC),
    _f("color", _S),
    _f("shape", _S),
    _f("material", _S),
    _f("mark", _S, "dimension of what the plate shows"),
    _f("value", _S, "what the plate shows"),
])  # fmt: skip
