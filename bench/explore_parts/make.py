"""A run of a million answers: tables as the stages write them, their few pictures used again and again."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from r2i.core import paths
from r2i.core.boxes import Box
from r2i.core.drawing import make_crop
from r2i.core.images import jpeg_bytes
from r2i.core.params import Cut
from r2i.core.records import ANSWERS, IMAGES, QUESTIONS, REGIONS, TRAIN, VOTES
from r2i.core.tables import LEVEL, ROW_GROUP
from r2i.mini.world import SIZE, render_scene

SAMPLES, PER_REGION, PER_IMAGE = 8, 3, 3  # answers of a question, questions of a region, regions of an image
SHARDS, SCENES = 8, 48
DIMENSIONS = ["color", "counting", "identification", "material", "structure", "text"]
WORDS = ("red blue green metal wood two three star house bolt left right open closed clock dial sign plate number "
         "mirror window lamp").split()  # fmt: skip
BOXES = [[8 * (n % 12), 8 * (n % 11), 8 * (n % 12) + 24, 8 * (n % 11) + 24] for n in range(132)]


def make_tables(root: Path, answers: int, seed: int = 0) -> None:
    """All tables of the teaching side below `root`: `answers` rows of answers, the others in proportion."""
    rng = np.random.default_rng(seed)
    questions = answers // SAMPLES
    regions, images = -(-questions // PER_REGION), -(-questions // (PER_REGION * PER_IMAGE))
    pictures, crops = _pictures()
    ids = {"image": hexes(rng, images, 32), "region": hexes(rng, regions), "question": hexes(rng, questions)}
    region_of = np.arange(questions) // PER_REGION
    image_of_region = np.arange(regions) // PER_IMAGE
    image_of = image_of_region[region_of]
    agree, texts = rng.integers(3, 9, questions), _texts(rng, 5000, 4, 9)
    about = {
        "question_id": ids["question"],
        "region_id": ids["region"].take(pa.array(region_of)),
        "image_id": ids["image"].take(pa.array(image_of)),
        "question": texts.take(pa.array(rng.integers(0, 5000, questions))),
        "dimension": picked(rng, DIMENSIONS, questions),
    }
    _images(root, ids["image"], pictures)
    _regions(root, rng, ids, image_of_region, crops)
    _questions(root, rng, about, image_of)
    said = pa.array(WORDS).take(pa.array(rng.integers(0, len(WORDS), questions)))
    _votes(root, about, agree, said, image_of)
    _answers(root, rng, about, agree, said, image_of)
    _train(root, rng, about, agree, said, image_of, pictures)


def hexes(rng: np.random.Generator, count: int, size: int = 8) -> pa.Array:
    """Ids of `size` bytes as hex."""
    text = rng.bytes(size * count).hex()
    return pa.array([text[at : at + 2 * size] for at in range(0, len(text), 2 * size)])


def picked(rng: np.random.Generator, values: list[str], count: int, weights: list[float] | None = None) -> pa.Array:
    return pa.array(values).take(pa.array(rng.choice(len(values), count, p=weights)))


def write(folder: Path, columns: dict[str, pa.Array], schema: pa.Schema, shard: np.ndarray) -> None:
    """As r2i.core.tables.write_table does: shards, sorted by id, small row groups; missing columns are null."""
    folder.mkdir(parents=True)
    count = len(shard)
    empty = {field.name: pa.nulls(count, field.type) for field in schema if field.name not in columns}
    both = columns | empty
    arrays = [both[f.name] if both[f.name].type == f.type else both[f.name].cast(f.type) for f in schema]
    table = pa.table(arrays, schema=schema)
    for number in range(SHARDS):
        part = table.filter(pa.array(shard % SHARDS == number)).sort_by(schema.names[0])
        name = f"part-{number:05d}-of-{SHARDS:05d}.parquet"
        pq.write_table(part, folder / name, row_group_size=ROW_GROUP, compression="zstd", compression_level=LEVEL)


def _state(count: int, ok: np.ndarray, rejected: pa.Array, status: str = "rejected") -> dict[str, pa.Array]:
    chosen = pa.array(ok)
    return {
        "status": pa.compute.if_else(chosen, "ok", status),
        "reason": pa.compute.if_else(chosen, "", rejected),
    }


def _call(rng: np.random.Generator, count: int, model: pa.Array) -> dict[str, pa.Array]:
    keys = hexes(rng, count, 32)
    return {
        "model": model,
        "endpoint": pa.repeat("openai", count),
        "prompt_sha256": pa.repeat("ab" * 32, count),
        "sampling": pa.repeat(json.dumps({"max_tokens": 512, "temperature": 0.7, "top_p": 0.95}), count),
        "reply_key": pa.compute.binary_join_element_wise(keys, "0", "/"),
    }


def _pictures() -> tuple[list[bytes], list[bytes]]:
    """JPEGs of SCENES scenes, and a crop of each."""
    scenes = [render_scene(np.random.default_rng(number)) for number in range(SCENES)]
    crops = [make_crop(scene.image, Box(*BOXES[n]), Cut()) for n, scene in enumerate(scenes)]
    return [jpeg_bytes(scene.image) for scene in scenes], crops


def _texts(rng: np.random.Generator, count: int, least: int, most: int) -> pa.Array:
    words = np.array(WORDS)
    return pa.array([" ".join(words[rng.integers(0, len(words), rng.integers(least, most))]) for _ in range(count)])


def _repeated(values: list[bytes], numbers: np.ndarray) -> pa.Array:
    return pa.array(values, pa.binary()).take(pa.array(numbers % len(values)))


def _images(root: Path, ids: pa.Array, pictures: list[bytes]) -> None:
    count = len(ids)
    numbers = np.arange(count)
    name = pa.array([f"{number:07d}.jpg" for number in numbers])
    columns = {
        "image_id": ids, "source": name, "pool": pa.repeat("photos", count), "member": name,
        "size": pa.repeat(5000, count), "format": pa.repeat("JPEG", count), "mode": pa.repeat("RGB", count),
        "width": pa.repeat(SIZE, count), "height": pa.repeat(SIZE, count), "phash": pa.repeat("0" * 16, count),
        "image": _repeated(pictures, numbers), **_state(count, numbers >= 0, pa.repeat("", count)),
    }  # fmt: skip
    write(root / paths.IMAGES, columns, IMAGES, numbers)


def _regions(
    root: Path, rng: np.random.Generator, ids: dict[str, pa.Array], image_of: np.ndarray, crops: list[bytes]
) -> None:
    count = len(ids["region"])
    numbers = np.arange(count)
    columns = {
        "region_id": ids["region"], "image_id": ids["image"].take(pa.array(image_of)),
        "box": pa.array(BOXES, pa.list_(pa.int32())).take(pa.array(numbers % len(BOXES))),
        "score": pa.array(rng.uniform(0.7, 1, count)), "area_share": pa.array(rng.uniform(0.001, 0.1, count)),
        "crop": _repeated(crops, image_of), "name": pa.repeat("", count),
        **_state(count, rng.random(count) < 0.9, picked(rng, ["low_score", "too_large", "overlap"], count)),
    }  # fmt: skip
    write(root / paths.REGIONS, columns, REGIONS, image_of)


def _questions(root: Path, rng: np.random.Generator, about: dict[str, pa.Array], image_of: np.ndarray) -> None:
    count = len(image_of)
    columns = {
        **about, "checks": pa.array([[True] * 4] * count), "repaired": pa.array(rng.random(count) < 0.01),
        **_call(rng, count, pa.repeat("teacher-large", count)),
        **_state(count, rng.random(count) < 0.85, picked(rng, ["ambiguous", "not_answerable"], count)),
    }  # fmt: skip
    write(root / paths.QUESTIONS, columns, QUESTIONS, image_of)


def _votes(root: Path, about: dict[str, pa.Array], agree: np.ndarray, said: pa.Array, image_of: np.ndarray) -> None:
    count = len(image_of)
    columns = {
        **about, "answer": said, "agree": pa.array(agree), "valid": pa.repeat(SAMPLES, count),
        "asked": pa.repeat(SAMPLES, count), **_state(count, agree >= 6, pa.repeat("disagreement", count)),
    }  # fmt: skip
    counts = [[{"answer": text, "count": int(most)}] for text, most in zip(said.to_pylist(), agree, strict=True)]
    write(root / paths.VOTES, columns | {"groups": pa.array(counts, VOTES.field("groups").type)}, VOTES, image_of)


def _answers(
    root: Path, rng: np.random.Generator, about: dict[str, pa.Array], agree: np.ndarray, said: pa.Array,
    image_of: np.ndarray,
) -> None:  # fmt: skip
    of = np.repeat(np.arange(len(agree)), SAMPLES)
    sample = np.tile(np.arange(SAMPLES), len(agree))
    count = len(of)
    with_vote = pa.array(sample < agree[of])
    answer = pa.compute.if_else(with_vote, said.take(pa.array(of)), picked(rng, WORDS, count))
    teacher = pa.array(["glm", "qwen"]).take(pa.array(sample % 2))
    thoughts = _texts(rng, 4000, 20, 60).take(pa.array(rng.integers(0, 4000, count)))
    columns = {
        "answer_id": hexes(rng, count), "question_id": about["question_id"].take(pa.array(of)),
        "image_id": about["image_id"].take(pa.array(of)), "teacher": teacher, "sample": pa.array(sample // 2),
        "reply": pa.compute.binary_join_element_wise(thoughts, answer, ": "), "answer": answer,
        **_call(rng, count, teacher),
        **_state(count, rng.random(count) < 0.98, picked(rng, ["no_answer", "timeout"], count), "failed"),
    }  # fmt: skip
    write(root / paths.ANSWERS, columns, ANSWERS, image_of[of])


def _train(
    root: Path, rng: np.random.Generator, about: dict[str, pa.Array], agree: np.ndarray, said: pa.Array,
    image_of: np.ndarray, pictures: list[bytes],
) -> None:  # fmt: skip
    count = len(image_of)
    ok = (agree >= 6) & (rng.random(count) < 0.7)
    columns = {
        **about, "row_id": hexes(rng, count), "view": picked(rng, ["full", "boxed", "crop"], count, [0.6, 0.2, 0.2]),
        "image": pa.compute.if_else(pa.array(ok), _repeated(pictures, image_of), None),
        "box": pa.array(BOXES, pa.list_(pa.int32())).take(pa.array((np.arange(count) // PER_REGION) % len(BOXES))),
        "options": pa.array([WORDS[:4]] * count), "answer": said, "label": picked(rng, list("ABCD"), count),
        "prompt": about["question"], "agree": pa.array(agree), "right": pa.array(rng.integers(0, 5, count)),
        "tries": pa.repeat(4, count), **_state(count, ok, picked(rng, ["too_easy", "over_limit"], count)),
    }  # fmt: skip
    write(root / paths.TRAIN, columns, TRAIN, image_of)
