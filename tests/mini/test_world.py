"""The rendered world."""

import numpy as np
import pytest

from r2i.core.boxes import area_share
from r2i.mini.world import ANSWERS, DIMENSIONS, SIZE, render_scene


def scenes(count: int = 60):
    return [render_scene(np.random.default_rng([7, i])) for i in range(count)]


def test_the_same_seed_draws_the_same_pixels_and_another_seed_others() -> None:
    first, second, other = (render_scene(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first.image.tobytes() == second.image.tobytes() and first.things == second.things
    assert first.image.tobytes() != other.image.tobytes()


def test_objects_cover_less_than_a_tenth_of_the_scene_and_stay_inside() -> None:
    for scene in scenes():
        assert scene.image.size == (SIZE, SIZE) and scene.image.mode == "RGB"
        for thing in scene.things:
            left, top, right, bottom = thing.box
            assert left >= 0 and top >= 0 and right <= SIZE and bottom <= SIZE
            assert area_share(thing.box, SIZE, SIZE) < 0.1


def test_every_dimension_and_every_answer_occurs() -> None:
    seen: dict[str, set[str]] = {dimension: set() for dimension in DIMENSIONS}
    for scene in scenes(300):
        for thing in scene.things:
            seen[thing.mark].add(thing.value)
            seen["material"].add(thing.material)
    assert {dimension: seen[dimension] for dimension in DIMENSIONS} == {d: set(ANSWERS[d]) for d in DIMENSIONS}


def test_an_object_has_a_true_answer_only_for_what_it_shows() -> None:
    thing = render_scene(np.random.default_rng(0)).things[0]
    shown = {d for d in DIMENSIONS if thing.truth(d) is not None}
    assert shown == {thing.mark, "material"}


def test_some_scenes_hold_two_objects_of_one_name() -> None:
    """A quarter of the scenes by construction: 75 of 300, give or take 4 standard deviations (30)."""
    double = sum(len({t.name for t in scene.things}) < len(scene.things) for scene in scenes(300))
    assert 45 <= double <= 105


@pytest.mark.parametrize("value", ANSWERS["structure"])
def test_a_ring_is_open_on_the_side_it_says(value: str) -> None:
    from PIL import Image, ImageDraw

    from r2i.mini.world import PAPER, _draw_ring

    image = Image.new("RGB", (11, 11), PAPER)
    _draw_ring(ImageDraw.Draw(image), 5, 5, value)
    ends = {"top": (5, 1), "bottom": (5, 9), "left": (1, 5), "right": (9, 5)}
    open_sides = {side for side, at in ends.items() if image.getpixel(at) == PAPER}
    assert open_sides == {value}
