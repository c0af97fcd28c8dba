"""Held-out scenes of the mini world, with the renderer's truth as gold answers."""

from collections import Counter

import numpy as np

from r2i.benchmark.groups import OWN
from r2i.core.choices import shuffle_options
from r2i.core.drawing import frame_box, make_boxed, make_crop
from r2i.core.ids import make_id, unit_of
from r2i.core.images import jpeg_bytes, perceptual_hash, read_image, sha256
from r2i.core.params import Drawing
from r2i.core.records import OK
from r2i.core.tables import Row
from r2i.mini.language import ask
from r2i.mini.world import ANSWERS, DIMENSIONS, RADII, SMALL, Scene, Thing, render_scene

BENCHMARK_SCENES = 2  # second word of every seed; the pools of `sample` draw theirs with another
PER_SCENE = 2  # most items from one scene
DISTRACTORS = 3
SEEN_FIRST = 0.5  # share of items whose distractors are taken from the rest of the scene first


def render_items(
    items: int, drawing: Drawing, seed: int, source: str = "rendered", options: bool = True, small: bool = False
) -> list[Row]:
    """`items` rows (records.BENCHMARK), as equal in number over the six dimensions as can be.

    At most two items stand on one scene, of different dimensions, and none is about an object whose
    name occurs twice in its scene. `options`: whether they have some, else they are open questions; `small`: whether
    the objects are smaller than those that `sample` renders.
    """
    wanted = _quotas(items)
    rows: list[Row] = []
    number = 0
    while wanted.total():
        rng = np.random.default_rng([seed, BENCHMARK_SCENES, number])
        scene = render_scene(rng, radii=SMALL if small else RADII)
        data = jpeg_bytes(scene.image)
        for thing, dimension in _pick_targets(scene, wanted, sha256(data)):
            wanted[dimension] -= 1
            row = _make_row(scene, data, thing, dimension, drawing) | {"source": source, "group": OWN}
            rows.append(row if options else row | {"options": [], "label": ""})
        number += 1
    return rows


def _quotas(items: int) -> Counter[str]:
    return Counter(DIMENSIONS[i % len(DIMENSIONS)] for i in range(items))


def _pick_targets(scene: Scene, wanted: Counter[str], image_id: str) -> list[tuple[Thing, str]]:
    """The targets of one scene: the dimensions most wanted first, one object for each."""
    names = Counter(thing.name for thing in scene.things)
    unique = [thing for thing in scene.things if names[thing.name] == 1]
    targets: dict[str, Thing] = {}
    for dimension in sorted(DIMENSIONS, key=lambda d: (-wanted[d], make_id(image_id, d))):
        shown = [t for t in unique if t.truth(dimension) is not None and t not in targets.values()]
        if wanted[dimension] > 0 and shown and len(targets) < PER_SCENE:
            targets[dimension] = min(shown, key=lambda t: make_id(image_id, dimension, t.name))
    return [(thing, dimension) for dimension, thing in targets.items()]


def _make_row(scene: Scene, data: bytes, thing: Thing, dimension: str, drawing: Drawing) -> Row:
    image = read_image(data)
    image_id, question, answer = sha256(data), ask(thing, dimension), str(thing.truth(dimension))
    item_id = make_id(image_id, question)
    distractors = pick_distractors(scene, thing, dimension, item_id)
    options, label = shuffle_options(answer, distractors, item_id)
    box = frame_box(thing.box, drawing.cut, *image.size)
    return {
        "item_id": item_id,
        "image_id": image_id,
        "cluster_id": image_id,
        "image": data,
        "crop": make_crop(image, box, drawing.cut),
        "boxed": make_boxed(image, box, drawing.outline),
        "crop_made": True,
        "magnification": float(drawing.cut.upscale),
        "box": box,
        "question": question,
        "options": options,
        "prompt": None,
        "answer": answer,
        "label": label,
        "dimension": dimension,
        "phash": perceptual_hash(image),
        "status": OK,
        "reason": "",
    }


def pick_distractors(scene: Scene, thing: Thing, dimension: str, item_id: str) -> list[str]:
    """Three wrong answers of the same kind.

    For half of the items those that are true of other objects in the scene come first: choosing by
    what is seen somewhere, instead of where it was asked, must not pay.
    """
    wrong = [value for value in ANSWERS[dimension] if value != thing.truth(dimension)]
    # "distractor" keeps this hash apart from the one that orders the options: else the answer comes last
    wrong.sort(key=lambda value: make_id(item_id, "distractor", value))
    if unit_of(item_id, "seen first") < SEEN_FIRST:
        seen = {other.truth(dimension) for other in scene.things}
        wrong.sort(key=lambda value: value not in seen)  # stable: hashed order within both halves
    return wrong[:DISTRACTORS]
