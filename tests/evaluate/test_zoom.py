"""The zoom view: where to look, what is shown then, and what becomes of replies that name no place."""

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest
from made_rows import FULL, HEIGHT, WIDTH, item_row
from PIL import Image
from teacher_fakes import FakeModel, failed, sent

from r2i.core.boxes import place_box
from r2i.core.params import Cut, Evaluate, Sampling, Zoom
from r2i.core.parse import ReplyError
from r2i.endpoint.base import Picture, Reply, Request, Turn
from r2i.endpoint.chat import chat_body
from r2i.evaluate.plan import Ask, plan
from r2i.evaluate.predict import predict
from r2i.evaluate.protocol import Protocol, Wording
from r2i.evaluate.views import Shelf
from r2i.evaluate.zoom import choose_box, look_request, parse_box, widen

CFG = Evaluate(prompts="paper", views=["zoom"], samples=0, max_tokens=64, zoom=Zoom(max_tokens=32))
TIGHT, WIDE = Cut(margin=0.0), Cut(margin=0.5)
BOX = '{"bbox_2d": [100, 200, 400, 800]}'  # of 200 x 100 pixels: 20, 20, 80, 80


class SeeingModel(FakeModel):
    """Keeps the bytes of the pictures of each request as well: they can't be read afterwards."""

    def complete(self, requests: Sequence[Request]) -> list[list[Reply]]:
        self.shown = [*getattr(self, "shown", []), *(sent(request) for request in requests)]
        return super().complete(requests)


def make_ask(cfg: Evaluate, view: str, folder: Path) -> Ask:
    """The greedy ask about one item in one view; its pictures stay readable while the test runs."""
    shelf = Shelf(folder).__enter__()
    return next(a for a in plan(shelf.put(item_row()), cfg, 0) if a.view == view and a.sampling.temperature == 0)


def scripted(look: str | Reply, answer: str | Reply = "<answer>C</answer>") -> SeeingModel:
    return SeeingModel(lambda request, _: look if "bbox_2d" in request.prompt else answer)


def rows_of(model: SeeingModel, tmp_path: Path, cfg: Evaluate = CFG, cut: Cut = TIGHT, **item: object) -> list[dict]:
    return predict(model, [item_row(**item)], cfg, cut, 0, scratch=tmp_path)


def size(data: bytes) -> tuple[int, int]:
    return Image.open(BytesIO(data)).size


def test_the_second_step_shows_the_picture_and_the_named_region_twice_as_large(tmp_path: Path) -> None:
    model = scripted(f"Near the sign. {BOX}")
    (row,) = rows_of(model, tmp_path)
    look, answer = model.asked
    assert model.shown[0] == (FULL,) and look.sampling.max_tokens == 32
    whole, region = model.shown[1]
    assert whole == FULL and size(region) == (120, 120)  # 60 x 60 pixels, twice
    assert "second image" in answer.prompt and answer.sampling.max_tokens == 64
    assert row["zoom_box"] == (20, 20, 80, 80)
    assert (row["correct"], row["reply"], row["vision_forwards"]) == (True, "<answer>C</answer>", 2)
    assert row["first_reply"].startswith("Near the sign.")


def test_the_margin_is_context_around_the_named_region_within_the_picture(tmp_path: Path) -> None:
    (row,) = rows_of(scripted(BOX), tmp_path, cut=WIDE)
    assert row["zoom_box"] == (0, 0, 110, HEIGHT)  # 60 x 60 grown by 30 on each side: -10, -10, 110, 110


@pytest.mark.parametrize(
    "said",
    [
        "I can't tell.",
        '{"bbox_2d": [100, 200, 400]}',
        '{"bbox_2d": [400, 200, 100, 800]}',
        '{"bbox_2d": [100, 200, 400, 1300]}',  # pixels of a resized picture, most likely
        '{"bbox_2d": [100, 200, 101, 800]}',  # a fifth of a pixel wide
        '{"bbox_2d": [true, 2, 4, 8]}',
        '{"bbox_2d": [NaN, 2, 4, 8]}',
        Reply('{"bbox_2d": [100, 200, 400, 80', "failed", "truncated", "", ""),  # the last number may go on
        Reply("", "failed", "empty", "", ""),
    ],
)
def test_a_reply_without_a_place_is_answered_from_the_full_view(tmp_path: Path, said: str | Reply) -> None:
    model = scripted(said)
    (row,) = rows_of(model, tmp_path)
    assert model.shown[1] == (FULL,) and "second image" not in model.asked[1].prompt
    assert (row["status"], row["zoom_box"], row["correct"], row["vision_forwards"]) == ("ok", None, True, 1)


def test_slips_in_the_json_are_mended_and_the_last_box_counts() -> None:
    assert parse_box("{'bbox_2d': [1, 2, 3, 4],}") == [1, 2, 3, 4]
    assert parse_box('first {"bbox_2d": [9, 9, 9, 9]}, no: [{"bbox_2d": [1, 2, 3, 4], "label": "sign"}]') == [
        1,
        2,
        3,
        4,
    ]
    with pytest.raises(ReplyError):
        parse_box("bbox_2d: somewhere left")


def test_the_oracle_shows_the_items_own_box_whatever_was_said_and_counts_both_steps(tmp_path: Path) -> None:
    cfg = CFG.model_copy(update={"zoom": Zoom(box="oracle")})
    (row,) = rows_of(scripted("no idea"), tmp_path, cfg, WIDE)
    assert row["zoom_box"] == (20, 20, 60, 60)  # as it is: the benchmark gave it its context
    assert row["first_reply"] == "no idea"


def test_the_oracle_asks_nothing_about_an_item_without_a_box(tmp_path: Path) -> None:
    cfg = CFG.model_copy(update={"zoom": Zoom(box="oracle"), "views": ["full", "zoom"]})
    model = scripted(BOX)
    rows = {row["view"]: row for row in rows_of(model, tmp_path, cfg, box=None)}
    assert (rows["zoom"]["status"], rows["zoom"]["reason"], rows["zoom"]["correct"]) == ("rejected", "no_box", None)
    assert len(model.asked) == 1


def test_mini_sees_the_region_alone_and_is_asked_in_words_that_it_knows(tmp_path: Path) -> None:
    from r2i.mini.language import vocabulary

    cfg = CFG.model_copy(update={"prompts": "mini", "zoom": Zoom(box="oracle")})
    model = SeeingModel(lambda request, _: "<answer>C</answer>")
    rows_of(model, tmp_path, cfg)
    look = model.asked[0]
    assert [size(data) for data in model.shown[1]] == [(80, 80)]
    words = look.prompt.replace(item_row()["question"], "").replace("?", " ?").split()
    assert set(words) <= {word.strip() for word in vocabulary()}


@pytest.mark.parametrize("step", ["look", "answer"])
def test_a_failed_call_in_either_step_fails_the_row(tmp_path: Path, step: str) -> None:
    def script(request: Request, _: int) -> str | Reply:
        this = "look" if "bbox_2d" in request.prompt else "answer" if len(request.images) == 2 else "full"
        return failed("timeout") if this == step else BOX if this == "look" else "<answer>C</answer>"

    cfg = CFG.model_copy(update={"views": ["full", "zoom"]})
    rows = {row["view"]: row for row in rows_of(SeeingModel(script), tmp_path, cfg)}
    assert rows["full"]["correct"] is True
    assert (rows["zoom"]["status"], rows["zoom"]["correct"], rows["zoom"]["tokens_in"]) == ("failed", None, None)
    assert rows["zoom"]["reason"] == ("look_timeout" if step == "look" else "timeout")


def test_each_sampled_look_gets_an_answer_of_its_own(tmp_path: Path) -> None:
    looks = ["nowhere", BOX, '{"bbox_2d": [0, 0, 500, 1000]}']

    def script(request: Request, sample: int) -> str:
        return looks[sample] if "bbox_2d" in request.prompt else "<answer>C</answer>"

    model = SeeingModel(script)
    cfg = CFG.model_copy(update={"samples": 3, "sampled_views": ["zoom"], "views": ["full"]})
    rows = [row for row in rows_of(model, tmp_path, cfg) if row["view"] == "zoom"]
    assert [row["sample"] for row in rows] == [1, 2, 3]
    assert [row["zoom_box"] for row in rows] == [None, (20, 20, 80, 80), (0, 0, 100, 100)]
    answers = [request for request in model.asked if "bbox_2d" not in request.prompt and request.sampling.temperature]
    assert len({request.seed for request in answers}) == 3


def test_tokens_of_both_steps_are_added_and_unknown_where_one_is_not_told(tmp_path: Path) -> None:
    told = scripted(Reply(BOX, "ok", "", "k", "m", 300, 20), Reply("<answer>C</answer>", "ok", "", "k", "m", 500, 5))
    (row,) = rows_of(told, tmp_path)
    assert (row["tokens_in"], row["tokens_out"]) == (800, 25)
    (row,) = rows_of(scripted(Reply(BOX, "ok", "", "k", "m", 300, 20)), tmp_path)
    assert (row["tokens_in"], row["tokens_out"]) == (None, None)


def test_a_narrow_box_is_widened_to_what_a_model_can_take() -> None:
    assert widen((50, 50, 52, 90), 1000, 1000) == (37, 50, 65, 90)  # 28 wide about 51
    assert widen((0, 0, 2, 90), 1000, 1000) == (0, 0, 28, 90)
    assert widen((0, 10, 5000, 40), 5000, 100) == (0, 0, 5000, 50)  # 5000 / 100 = 50 high about 25
    assert widen((0, 0, 10, 10), 20, 20) == (0, 0, 20, 20)  # the picture is smaller


def test_thousandths_become_pixels() -> None:
    assert place_box([0, 0, 1000, 1000], "thousandths", WIDTH, HEIGHT) == ((0, 0, WIDTH, HEIGHT), "")
    assert place_box([5, 0, 5, 1000], "thousandths", WIDTH, HEIGHT)[0] is None


@pytest.mark.parametrize("said", ["[0.1, 0.1, 0.9, 0.9]", "[0.25, 0.5, 0.75, 1.0]", "[0, 0, 1, 1]"])
def test_shares_are_no_place_to_look_at(said: str) -> None:
    """As thousandths they would be a few pixels of the corner, enlarged: the full view is shown instead."""
    assert place_box(parse_box(f'{{"bbox_2d": {said}}}'), "thousandths", 4000, 3000)[0] is None


def test_the_region_is_cut_only_when_it_is_sent(tmp_path: Path) -> None:
    ask = make_ask(CFG, "zoom", tmp_path)
    assert look_request(ask, CFG.zoom).form
    box = choose_box(ask.item, Reply(BOX, "ok", "", "", ""), CFG.zoom, TIGHT)
    assert box == (20, 20, 80, 80)


def call(box: list[int], index: object = 0) -> str:
    arguments = {"bbox_2d": box, "label": "sign", "img_idx": index}
    told = json.dumps({"name": "image_zoom_in_tool", "arguments": arguments})
    return f"Let me look.\n<tool_call>\n{told}\n</tool_call>"


def talk(*said: str | Reply, folder: Path, turns: int = 2, samples: int = 0) -> tuple[SeeingModel, list[dict]]:
    """A model that says these in turn, whoever asks."""
    model = SeeingModel(lambda request, _: said[len(request.before) // 2])
    cfg = CFG.model_copy(update={"zoom": Zoom(turns=turns), "samples": samples, "sampled_views": ["zoom"]})
    return model, rows_of(model, folder, cfg)


def test_a_conversation_shows_region_after_region_and_ends_with_an_answer(tmp_path: Path) -> None:
    # 200 x 100 pixels: half of the picture, then the lower right quarter of that half
    calls = call([0, 0, 500, 1000]), call([500, 500, 1000, 1000], 1)
    model, (row,) = talk(*calls, "<answer>C</answer>", folder=tmp_path)
    first, second, third = model.asked
    assert [turn.role for turn in third.before] == ["user", "assistant"] * 2
    assert [turn.images for turn in third.before] == [1, 0, 1, 0] and len(third.images) == 3
    assert "at most 2 calls" in first.prompt and "Image 1" in second.prompt and "Answer now" in third.prompt
    whole, half, quarter = model.shown[2]
    assert whole == FULL and size(half) == (600, 600)  # 100 x 100 pixels, six times: 512 x 512 at least
    assert row["zoom_box"] == (50, 50, 100, 100) and size(quarter)[0] >= 512
    assert (row["reply"], row["correct"], row["vision_forwards"]) == ("<answer>C</answer>", True, 3)
    assert row["first_reply"].startswith("Let me look.")


def test_every_turn_is_ordered_as_the_protocol_says(tmp_path: Path) -> None:
    wording = Wording(choice="{question} {options}")
    protocol = Protocol(name="p", decoding=Sampling(), text_first=True, wordings={"default": wording})
    model = SeeingModel(lambda request, _: "C" if request.before else call([0, 0, 500, 1000]))
    cfg = CFG.model_copy(update={"zoom": Zoom(turns=1)})
    predict(model, [item_row()], cfg, TIGHT, 0, scratch=tmp_path, protocol=protocol)
    assert [request.text_first for request in model.asked] == [True, True]


BAD = (call([0, 0, 500, 1000], 3), call([9, 9, 9, 9]), "<tool_call>{", call([0, 0, 1, 1], "x"))


@pytest.mark.parametrize("bad", BAD)
def test_a_call_that_names_no_region_costs_a_turn_and_is_told(bad: str, tmp_path: Path) -> None:
    model, (row,) = talk(bad, "<answer>C</answer>", folder=tmp_path, turns=1)
    assert "no region" in model.asked[1].prompt and len(model.asked[1].images) == 1
    assert (row["zoom_box"], row["correct"], row["vision_forwards"]) == (None, True, 1)


def test_turns_are_bounded_and_each_sample_talks_by_itself(tmp_path: Path) -> None:
    model, rows = talk(call([0, 0, 500, 1000]), call([0, 0, 500, 1000]), folder=tmp_path, turns=1, samples=3)
    assert len(rows) == 4 and all("tool_call" in row["reply"] and row["correct"] is not True for row in rows)
    assert sorted(request.n for request in model.asked) == [1, 1, 1, 1, 1, 3]
    assert len({request.seed for request in model.asked}) == 6


@pytest.mark.parametrize("turn", [0, 1, 2])
def test_a_call_that_failed_is_no_wrong_answer(turn: int, tmp_path: Path) -> None:
    said = [call([0, 0, 500, 1000])] * turn + [failed("timeout")]
    model = SeeingModel(lambda request, _: said[len(request.before) // 2] if request.sampling.temperature == 0 else "C")
    cfg = CFG.model_copy(update={"zoom": Zoom(turns=2), "samples": 2, "sampled_views": ["zoom"]})
    row = rows_of(model, tmp_path, cfg)[0]
    assert (row["status"], row["correct"]) == ("failed", None)
    assert row["reason"] == ("timeout" if turn == 2 else "look_timeout")


def test_a_conversation_is_part_of_the_key_and_of_what_a_server_is_sent() -> None:
    images = (Picture.of(FULL), Picture.of(FULL))
    one = Request("more", images, Sampling(), 1, before=(Turn("user", "hi", 1), Turn("assistant", "yes")))
    other = Request("more", images, Sampling(), 1)
    assert one.key("m") != other.key("m") and "before" not in other.parts("m")
    messages = chat_body("m", one, 1, 1, ())["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[1]["content"] == "yes"
    assert [[part["type"] for part in messages[place]["content"]] for place in (0, 2)] == [["image_url", "text"]] * 2
