"""Boxes are xyxy, integer pixels of the full image, right and bottom exclusive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2i.core.boxes import Box, BoxUnit, area, area_share, clip, expand, iou, place_box, square
from r2i.core.drawing import frame_box
from r2i.core.ids import make_id
from r2i.core.params import Cut

W, H = 100, 60
SIDES = st.integers(-20, 130)
INSIDE = st.tuples(
    st.integers(0, W - 1), st.integers(0, H - 1), st.integers(1, W), st.integers(1, H)
).map(lambda b: (min(b[0], b[2] - 1), min(b[1], b[3] - 1), max(b[0] + 1, b[2]), max(b[1] + 1, b[3])))  # fmt: skip


def test_right_and_bottom_are_exclusive() -> None:
    assert area((0, 0, 1, 1)) == 1
    assert area((3, 3, 3, 9)) == 0


def test_a_box_that_is_inside_out_has_no_area() -> None:
    assert area((5, 5, 2, 9)) == 0
    assert area((5, 5, 2, 2)) == 0  # not (-3) * (-3) = 9


def test_iou_of_half_shifted_boxes_is_a_third() -> None:
    # 10 x 10 each, shared 5 x 10 = 50, union 100 + 100 - 50 = 150
    assert iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)


def test_iou_of_touching_or_empty_boxes_is_zero() -> None:
    assert iou((0, 0, 10, 10), (10, 0, 20, 10)) == 0
    assert iou((4, 4, 4, 4), (4, 4, 4, 4)) == 0


def test_area_share_counts_the_whole_image() -> None:
    assert area_share((0, 0, 50, 30), W, H) == 0.25


def test_expand_grows_every_side_by_a_share_of_the_box_and_stops_at_the_image() -> None:
    # 20 x 10 px grown by 10 %: 2 px left and right, 1 px above and below
    assert expand((40, 20, 60, 30), 0.1, W, H) == (38, 19, 62, 31)
    assert expand((0, 20, 20, 30), 0.1, W, H) == (0, 19, 22, 31)


def test_square_moves_a_box_at_the_border_instead_of_cutting_it() -> None:
    # 10 x 30 px at the left border: a 30 x 30 square can't be centred on x = 5
    assert square((0, 10, 10, 40), W, H) == (0, 10, 30, 40)


def test_frame_adds_context_first_and_then_widens() -> None:
    # 20 x 10 grown by 10 % is 24 x 12, then 24 x 24 around the same centre (50, 25)
    assert frame_box(Box(40, 20, 60, 30), Cut(margin=0.1, square=True), W, H) == (38, 13, 62, 37)
    assert frame_box(Box(40, 20, 60, 30), Cut(margin=0.1, square=False), W, H) == (38, 19, 62, 31)


def test_a_box_is_named_by_its_four_numbers() -> None:
    """Region ids and the keys of zoomed replies are hashes of this text: they outlive what a Box is called."""
    assert make_id("image", Box(1, 2, 3, 4)) == make_id("image", (1, 2, 3, 4))
    assert f"{Box(1, 2, 3, 4)}" == "(1, 2, 3, 4)"


@given(st.tuples(SIDES, SIDES, SIDES, SIDES))
def test_a_clipped_box_lies_on_the_image(box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = clip(box, W, H)
    assert 0 <= left <= W and 0 <= right <= W and 0 <= top <= H and 0 <= bottom <= H


@given(INSIDE, INSIDE)
def test_iou_is_symmetric_and_between_0_and_1(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> None:
    assert iou(a, b) == iou(b, a)
    assert 0 <= iou(a, b) <= 1
    assert iou(a, a) == 1


@given(INSIDE)
def test_a_square_is_square_lies_on_the_image_and_holds_every_box_that_fits(box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = square(box, W, H)
    assert right - left == bottom - top
    assert clip((left, top, right, bottom), W, H) == (left, top, right, bottom)
    if max(box[2] - box[0], box[3] - box[1]) <= min(W, H):
        assert left <= box[0] and top <= box[1] and right >= box[2] and bottom >= box[3]


@given(INSIDE, st.floats(0, 1))
def test_a_grown_box_holds_the_box_and_lies_on_the_image(box: tuple[int, int, int, int], share: float) -> None:
    grown = expand(box, share, W, H)
    assert grown[0] <= box[0] and grown[1] <= box[1] and grown[2] >= box[2] and grown[3] >= box[3]
    assert clip(grown, W, H) == grown


UNITS = st.sampled_from(["pixels", "shares", "thousandths"])


def write_in(unit: BoxUnit, box: tuple[int, int, int, int], width: int, height: int) -> list[float]:
    """The sides of a box in pixels as a model or a file writes them in `unit`."""
    full_x, full_y = {"pixels": (width, height), "shares": (1, 1), "thousandths": (1000, 1000)}[unit]
    return [side * (full_y if at % 2 else full_x) / (height if at % 2 else width) for at, side in enumerate(box)]


@given(INSIDE, UNITS, st.integers(1, 40))
def test_a_box_that_is_written_in_any_unit_is_read_back_and_grows_with_its_picture(
    box: tuple[int, int, int, int], unit: BoxUnit, factor: int
) -> None:
    width, height = W * factor, H * factor
    larger = tuple(side * factor for side in box)
    sides = write_in(unit, larger, width, height)  # type: ignore[arg-type]
    placed = place_box(sides, unit, width, height)
    assert placed == ((larger, "") if unit == "shares" or max(sides) >= 2 else (None, "other_unit"))


@pytest.mark.parametrize("unit", ["pixels", "thousandths"])
@pytest.mark.parametrize("box", [(0.1, 0.1, 0.9, 0.9), (0, 0, 1, 1), (0.25, 0.5, 0.75, 1.0), (0.2, 0.2, 0.9, 1.004)])
def test_shares_are_no_box_where_another_unit_was_asked_for(unit: BoxUnit, box: tuple[float, ...]) -> None:
    """They would be a region of a pixel or two in the corner."""
    assert place_box(box, unit, 4000, 3000, "rounded") == (None, "other_unit")


def test_only_shares_are_shares() -> None:
    assert place_box((0.25, 0.5, 0.75, 1.0), "shares", 4000, 3000) == ((1000, 1500, 3000, 3000), "")
    assert place_box((410, 650, 450, 730), "shares", 4000, 3000) == (None, "out_of_image")
