"""Attention coverage: exact against Transformers' own matrices, in linear memory, on the right part of the picture."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch
from evaluate.tiny_vlms import FAMILIES, make_vlm
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from r2i.core.errors import EndpointError, ParamsError
from r2i.core.images import jpeg_bytes
from r2i.core.params import Attention, Sampling
from r2i.endpoint.local import EncodedRequest, LocalModel
from r2i.evaluate.attention import attention_rows, summarise_attention
from r2i.evaluate.capture import capture_attention, choose_layers
from r2i.evaluate.coverage import image_frame, inclusive_cells, measure_coverage, token_shares
from r2i.evaluate.inputs import make_inputs
from r2i.evaluate.protocol import Protocol, Wording
from r2i.report.heatmap import heatmap, heatmaps_beside, relative_attention, top_of_scale

ASKED = "what digit is on the red square?"
REPLY = "<answer> B</answer>"
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 72, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=FAMILIES)
def vlm(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    return make_vlm(request.param)


@pytest.fixture(scope="module")
def qwen() -> tuple[Any, Any]:
    return make_vlm("qwen3_vl")


def picture(seed: int = 0, size: tuple[int, int] = (72, 40)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def eager(model: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """By layer (B, heads, T, T), as Transformers gives them."""
    before = model.config.get_text_config()._attn_implementation
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        found = model(**tensors, output_attentions=True).attentions
    model.set_attn_implementation(before)
    return found


def item(number: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "item_id": f"item{number}", "cluster_id": f"image{number}", "image": jpeg_bytes(picture(number)),
        "box": [8, 8, 40, 24], "question": ASKED, "status": "ok", "reason": "",
    } | changes  # fmt: skip


def rows_of(vlm: tuple[Any, Any], asked: list[dict[str, Any]], replies: Any = None, **cfg: Any) -> list[dict[str, Any]]:
    return list(attention_rows(*vlm, asked, Attention(**cfg), lambda one: one["question"], replies))


def test_a_protocol_is_looked_at_as_it_was_asked(qwen: tuple[Any, Any]) -> None:
    wordings = {"default": Wording(choice="{question}", open="{question}")}
    plain = Protocol(name="p", decoding=Sampling(), wordings=wordings)
    asked = [item(source="s", image=jpeg_bytes(picture(0, (288, 160))), box=[32, 32, 160, 96])]

    def look(**changes: Any) -> dict[str, Any]:
        ways = plain.model_copy(update=changes)
        (row,) = attention_rows(*qwen, asked, Attention(), lambda one: one["question"], protocol=ways)
        return row

    (before,) = rows_of(qwen, asked)
    usual = look()
    assert usual == before
    for changes in ({"decoding": Sampling(system="Be brief.")}, {"text_first": True}):
        other = look(**changes)
        assert (other["grid"], other["status"]) == (usual["grid"], "ok") and other["coverage"] != usual["coverage"]
    small = look(max_pixels=72 * 40)
    assert small["grid"] < usual["grid"]
    # in pixels of the whole picture, as the box is
    assert small["frame"] == usual["frame"] == [0, 0, 288, 160]


# The numbers


def test_every_layer_and_head_equals_the_full_matrices(vlm: tuple[Any, Any]) -> None:
    model, processor = vlm
    inputs = make_inputs(processor, picture(), ASKED)
    found = capture_attention(model, inputs.tensors, range(4), inputs.rows, slice(0, inputs.tokens))
    full = eager(model, inputs.tensors)
    last = inputs.tokens - 1
    for layer in range(4):
        assert found[layer].shape == (1, 4, inputs.tokens)
        assert (found[layer] - full[layer][:, :, last]).abs().max() <= 1e-5
        assert full[layer][:, :, last].std() > 1e-3  # there was something to get wrong
        assert not torch.allclose(full[layer][:, 0, last], full[layer][:, 1, last], atol=1e-3)


def test_answer_is_the_mean_over_the_rows_of_the_reply(vlm: tuple[Any, Any]) -> None:
    model, processor = vlm
    reply = REPLY * 8  # more rows than are computed at once
    inputs = make_inputs(processor, picture(), ASKED, reply)
    assert processor.tokenizer.decode(inputs.tensors["input_ids"][0, inputs.rows.start :]).strip() == reply
    assert len(inputs.rows) > 20 and inputs.rows.stop == inputs.tokens
    found = capture_attention(model, inputs.tensors, [0, 3], inputs.rows, inputs.columns)
    full = eager(model, inputs.tensors)
    for layer in (0, 3):
        wanted = full[layer][:, :, inputs.rows.start :, inputs.columns].mean(dim=2)
        assert (found[layer] - wanted).abs().max() <= 1e-5


@pytest.mark.parametrize("family", ["qwen3_vl", "llava"])
def test_padding_on_the_left_gets_no_attention(family: str) -> None:
    model, processor = make_vlm(family)
    inputs = make_inputs(processor, picture(), ASKED)
    alone = capture_attention(model, inputs.tensors, [1], inputs.rows, slice(0, inputs.tokens))[1]
    padded = dict(inputs.tensors)
    for key, fill in [("input_ids", processor.tokenizer.pad_token_id), ("attention_mask", 0), ("mm_token_type_ids", 0)]:
        if key in padded:
            padded[key] = torch.nn.functional.pad(padded[key], (5, 0), value=fill)
    end = inputs.tokens + 5
    found = capture_attention(model, padded, [1], range(end - 1, end), slice(0, end))[1]
    assert found[..., :5].max() == 0
    if family == "qwen3_vl":  # a Llama counts positions from the padding on, unless it is told not to
        assert (found[..., 5:] - alone).abs().max() <= 1e-5


def test_the_model_is_as_it_was_afterwards(vlm: tuple[Any, Any]) -> None:
    model, processor = vlm
    inputs = make_inputs(processor, picture(), ASKED)
    with torch.inference_mode():
        before = model(**inputs.tensors).logits
    capture_attention(model, inputs.tensors, [0], inputs.rows, inputs.columns)
    broken = inputs.tensors | {"input_ids": inputs.tensors["input_ids"] * 0 - 1}
    with pytest.raises(Exception):  # noqa: B017 - whatever PyTorch says
        capture_attention(model, broken, [0], inputs.rows, inputs.columns)
    with torch.inference_mode():
        after = model(**inputs.tensors).logits
    assert torch.equal(before, after)
    assert model.config.get_text_config()._attn_implementation == "sdpa"
    assert not any("attention_tap" in vars(module) for module in model.modules())


def test_a_model_in_half_precision_gets_a_softmax_in_float32() -> None:
    model, processor = make_vlm("qwen3_vl")
    inputs = make_inputs(processor, picture(), ASKED)
    exact = capture_attention(model, inputs.tensors, [0], inputs.rows, slice(0, inputs.tokens))[0]
    found = capture_attention(model.to(torch.bfloat16), inputs.tensors, [0], inputs.rows, slice(0, inputs.tokens))[0]
    assert found.dtype == torch.float32
    assert (found.sum(-1) - 1).abs().max() < 1e-5  # bfloat16 would be off by up to 0.004
    assert 0 < (found - exact).abs().max() < 0.01


class Largest(TorchDispatchMode):
    """The most numbers in one result of any operation."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for one in out if isinstance(out, tuple | list) else [out]:
            if isinstance(one, torch.Tensor):
                self.numbers = max(self.numbers, one.numel())
        return out


def test_no_result_has_a_number_for_each_pair_of_tokens() -> None:
    # 1 024 image tokens: 32 x 32 of 8 px. A matrix of pairs would hold over a million numbers in each head
    model, processor = make_vlm("qwen3_vl", (256 * 256, 256 * 256))
    inputs = make_inputs(processor, picture(0, (256, 256)), ASKED)
    assert inputs.grid == (32, 32)
    with Largest() as seen:
        capture_attention(model, inputs.tensors, [3], inputs.rows, inputs.columns)
    assert seen.numbers < 0.5 * inputs.tokens**2
    model.model.language_model.config._attn_implementation = "eager"
    with Largest() as full, torch.inference_mode():
        model(**inputs.tensors, output_attentions=True)
    assert full.numbers >= 4 * inputs.tokens**2  # the measure can tell


# The layers


def test_default_layer_is_at_two_thirds_of_the_depth() -> None:
    class Deep:
        class config:
            model_type = "qwen3_vl"

        class model:
            class language_model:
                layers = range(36)

    assert choose_layers(Deep, None) == [23]  # the 24th of 36
    assert choose_layers(Deep, [35, 0, 35]) == [0, 35]
    for wrong in ([36], [-1], []):
        with pytest.raises(ParamsError, match="0 to 35"):
            choose_layers(Deep, wrong)


def test_layers_past_the_last_one_asked_for_are_not_run(qwen: tuple[Any, Any]) -> None:
    model, processor = qwen
    inputs = make_inputs(processor, picture(), ASKED)
    run: list[int] = []
    handles = [
        layer.register_forward_hook(lambda *_, number=number: run.append(number))
        for number, layer in enumerate(model.model.language_model.layers)
    ]
    capture_attention(model, inputs.tensors, [0, 2], inputs.rows, inputs.columns)
    for handle in handles:
        handle.remove()
    assert run == [0, 1, 2]


def test_a_family_that_is_not_known_is_refused(qwen: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qwen[0].config, "model_type", "idefics3")
    with pytest.raises(EndpointError, match="idefics3 can't be read"):
        rows_of(qwen, [item()])


# The place on the picture


def test_tokens_count_by_the_share_that_lies_inside() -> None:
    # 4 x 2 tokens of 10 x 10 px; the box covers x 5..20, y 0..5: half of token 0 and all of token 1, half their height
    shares = token_shares((5, 0, 20, 5), (0, 0, 40, 20), (2, 4))
    np.testing.assert_allclose(shares, [[0.25, 0.5, 0, 0], [0, 0, 0, 0]])
    # area of the box over area of the picture: 15 * 5 / 800
    assert shares.mean() == pytest.approx(75 / 800)


def test_coverage_by_hand() -> None:
    # two heads, two tokens, the first inside the box; the second head hardly looks at the image
    attention = np.array([[0.6, 0.2], [0.0, 0.1]])
    seen = measure_coverage(attention, np.array([[1.0, 0.0]]))
    assert seen.coverage == pytest.approx(0.6 / 0.9)
    assert seen.heads == pytest.approx([0.75, 0.0])
    assert seen.box_share == 0.5
    assert seen.image_share == pytest.approx((0.8 + 0.1) / 2)
    assert seen.focus == pytest.approx(0.6 / 0.9 / 0.5)
    blind = measure_coverage(np.array([[0.5, 0.0], [0.0, 0.0]]), np.array([[1.0, 0.0]]))
    assert blind.heads == [1.0, None]


def test_an_even_look_has_focus_one() -> None:
    seen = measure_coverage(np.full((3, 12), 0.02), token_shares((7, 3, 31, 19), (0, 0, 40, 30), (3, 4)))
    assert seen.focus == pytest.approx(1)
    assert seen.coverage == pytest.approx(24 * 16 / 1200)


@pytest.mark.parametrize("place", [(0, 0), (1, 3), (4, 8)])
def test_image_tokens_lie_row_by_row(vlm: tuple[Any, Any], place: tuple[int, int]) -> None:
    """Changing the pixels of one cell of the grid changes the features of the token there most."""
    model, processor = vlm
    image = picture()
    inputs = make_inputs(processor, image, ASKED)
    rows, columns = inputs.grid
    row, column = min(place[0], rows - 1), min(place[1], columns - 1)
    left, top, right, bottom = inputs.frame
    width, height = (right - left) / columns, (bottom - top) / rows
    box = tuple(
        round(edge)
        for edge in (left + column * width, top + row * height, left + (column + 1) * width, top + (row + 1) * height)
    )
    changed = image.copy()
    changed.paste((255, 0, 255), box)
    both = [embedded(model, make_inputs(processor, one, ASKED).tensors)[inputs.columns] for one in (image, changed)]
    moved = (both[0] - both[1]).norm(dim=1)
    assert int(moved.argmax()) == row * columns + column
    shares = token_shares(box, inputs.frame, inputs.grid)
    assert int(shares.argmax()) == row * columns + column


def embedded(model: Any, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """What the language model reads: (T, D)."""
    kept: list[torch.Tensor] = []
    language = model.model.language_model
    handle = language.register_forward_pre_hook(
        lambda _, args, kwargs: kept.append(kwargs["inputs_embeds"][0]), with_kwargs=True
    )
    with torch.inference_mode():
        model.model(**tensors)
    handle.remove()
    return kept[0]


@pytest.mark.parametrize(("size", "spot"), [((72, 40), (30, 10)), ((72, 40), (44, 28)), ((40, 72), (6, 50))])
def test_what_llava_cuts_off_is_not_part_of_the_frame(size: tuple[int, int], spot: tuple[int, int]) -> None:
    """A bright spot in the picture is found in the processor's output where the frame says."""
    _, processor = make_vlm("llava")
    image = Image.new("RGB", size, (0, 0, 0))
    image.paste((255, 255, 255), (*spot, spot[0] + 5, spot[1] + 5))
    pixels = processor.image_processor(images=image, return_tensors="pt")["pixel_values"][0].mean(0).numpy()
    bright = np.clip(pixels - pixels.min(), 0, None)
    down, across = np.indices(bright.shape) + 0.5
    center = (across * bright).sum() / bright.sum(), (down * bright).sum() / bright.sum()
    left, top, right, bottom = image_frame(processor, *size)
    wanted = (24 * (spot[0] + 2.5 - left) / (right - left), 24 * (spot[1] + 2.5 - top) / (bottom - top))
    np.testing.assert_allclose(center, wanted, atol=0.5)


def test_a_padded_picture_is_smaller_than_its_frame() -> None:
    _, processor = make_vlm("llava")
    processor.image_processor.do_pad = True
    assert image_frame(processor, 72, 40) == (0, -16, 72, 56)
    processor.image_processor.do_center_crop = False
    assert image_frame(processor, 40, 72) == (-16, 0, 56, 72)


# The rows


def test_rows_equal_what_the_full_matrices_give(vlm: tuple[Any, Any]) -> None:
    model, processor = vlm
    box = (20, 8, 52, 24)
    rows = rows_of(vlm, [item(box=list(box))], layers=[1, 2])
    image = Image.open(BytesIO(item()["image"]))
    inputs = make_inputs(processor, image, ASKED)
    full = eager(model, inputs.tensors)
    assert [row["layer"] for row in rows] == [1, 2]
    for row in rows:
        seen = full[row["layer"]][0, :, -1, inputs.columns].double()  # (heads, tokens)
        inside = torch.from_numpy(token_shares(box, inputs.frame, inputs.grid)).flatten()
        assert row["status"] == "ok"
        assert row["coverage"] == pytest.approx(float((seen @ inside).sum() / seen.sum()), abs=1e-5)
        assert row["heads"] == pytest.approx((seen @ inside / seen.sum(1)).tolist(), abs=1e-5)
        assert row["image_share"] == pytest.approx(float(seen.sum(1).mean()), abs=1e-5)
        assert sum(row["map"]) == pytest.approx(row["image_share"])
        curve = [full[layer][0, :, -1, inputs.columns].double() for layer in range(4)]
        assert row["curve"] == pytest.approx([float((one @ inside).sum() / one.sum()) for one in curve], abs=1e-5)
        assert row["curve"][row["layer"]] == row["coverage"] < row["inclusive"]
        assert row["grid"] == list(inputs.grid) and len(row["map"]) == inputs.grid[0] * inputs.grid[1]


@pytest.mark.parametrize(
    ("box", "cells"),
    [
        ((10, 10, 30, 30), (slice(1, 4), slice(1, 4))),  # 2 x 2 tokens of 10 pixels: 3 x 3 are counted, 2.25 times
        ((12, 12, 18, 18), (slice(1, 3), slice(1, 3))),  # inside one token: 2 x 2
        ((195, 95, 200, 100), (slice(9, 10), slice(19, 20))),  # at the picture's end: there is no second one
        ((0, 0, 200, 100), (slice(0, 10), slice(0, 20))),
    ],
)
def test_the_reference_counts_whole_tokens_from_the_first_side_to_the_last(box: Any, cells: Any) -> None:
    wanted = np.zeros((10, 20))
    wanted[cells] = 1
    assert (inclusive_cells(box, (0.0, 0.0, 200.0, 100.0), (10, 20)) == wanted).all()


def test_rows_depend_neither_on_order_nor_on_company(qwen: tuple[Any, Any]) -> None:
    asked = ["is it red?", ASKED]
    items = [item(n, question=asked[n % 2]) for n in range(7)]
    together = rows_of(qwen, items)
    assert [row["item_id"] for row in together] == [one["item_id"] for one in items]
    alone = [row for one in items for row in rows_of(qwen, [one])]
    backwards = rows_of(qwen, items[::-1])[::-1]
    for a, b, c in zip(together, alone, backwards, strict=True):
        assert a["coverage"] == pytest.approx(b["coverage"], abs=1e-6) == c["coverage"]
    assert len({round(row["coverage"], 6) for row in together}) == 7


def test_a_full_batch_is_measured_before_the_next_item_is_read(
    qwen: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("r2i.evaluate.attention.BATCH_TOKENS", 100)  # an item takes 60
    read = []

    def items() -> Iterator[dict[str, Any]]:
        for number in range(6):
            read.append(number)
            yield item(number)

    rows = attention_rows(*qwen, items(), Attention(), lambda one: one["question"])
    next(rows)
    assert read == [0, 1]
    assert len(list(rows)) == 5


def test_what_cannot_be_measured_is_a_row_with_its_reason(qwen: tuple[Any, Any]) -> None:
    _, processor = qwen
    items = [
        item(0, box=None),
        item(1, box=[5, 5, 5, 9]),
        item(2, image=b"no picture"),
        item(3, image=jpeg_bytes(picture(0, (404, 2)))),
        item(4, question=f"what is {processor.image_token}?"),
        item(5, box=[100, 100, 120, 120]),
        item(6, status="failed"),
        item(7),
    ]
    rows = rows_of(qwen, items, layers=[0, 1])
    assert [(row["item_id"], row["layer"], row["status"], row["reason"]) for row in rows] == [
        (f"item{number}", layer, status, reason)
        for number, status, reason in [
            (0, "rejected", "no_box"), (1, "rejected", "no_box"), (2, "failed", "unreadable"),
            (3, "failed", "too_narrow"), (4, "failed", "bad_request"), (5, "rejected", "box_unseen"), (7, "ok", ""),
        ]
        for layer in (0, 1)
    ]  # fmt: skip
    assert all(row["coverage"] is None for row in rows[:-2])
    assert len({row["attention_id"] for row in rows}) == len(rows)


def test_a_box_in_the_part_that_llava_cuts_off_is_not_measured() -> None:
    rows = rows_of(make_vlm("llava"), [item(0, box=[0, 0, 10, 10]), item(1, box=[10, 0, 22, 20])])
    # 72 x 40 px: x 16 to 56 is seen, as 6 x 6 tokens; of the second box 6 x 20 of 40 x 40 px
    assert [row["reason"] for row in rows] == ["box_unseen", ""]
    assert rows[1]["box_share"] == pytest.approx(120 / 1600)
    assert rows[1]["frame"] == [16, 0, 56, 40]


def test_attention_that_is_no_number_is_a_failed_row(qwen: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    norm = qwen[0].model.language_model.layers[0].input_layernorm.weight
    monkeypatch.setattr(norm, "data", norm.data * float("nan"))
    assert [row["reason"] for row in rows_of(qwen, [item()])] == ["not_finite"]


def test_items_are_chosen_by_their_ids_and_keep_their_order(qwen: tuple[Any, Any]) -> None:
    items = [item(number) for number in range(8)]
    chosen = [row["item_id"] for row in rows_of(qwen, items, items=3)]
    assert len(chosen) == 3 and chosen == sorted(chosen)
    assert chosen != ["item0", "item1", "item2"]
    assert [row["item_id"] for row in rows_of(qwen, items[::-1], items=3)] == chosen[::-1]
    assert len(rows_of(qwen, items, items=99)) == 8


def test_answer_asks_from_the_tokens_of_each_items_reply(qwen: tuple[Any, Any]) -> None:
    items = [item(0), item(1), item(2)]
    replies = {"item0": REPLY, "item1": " ", "item2": REPLY + " is red"}
    rows = rows_of(qwen, items, lambda one: replies[one["item_id"]], queries="answer")
    assert [row["reason"] for row in rows] == ["", "no_reply", ""]
    prompt = rows_of(qwen, items, lambda one: replies[one["item_id"]])
    assert rows[0]["coverage"] != pytest.approx(prompt[0]["coverage"], abs=1e-4)
    with pytest.raises(ParamsError, match="no replies"):
        rows_of(qwen, items, queries="answer")


@pytest.mark.parametrize(("system", "text_first"), [(None, False), ("Be brief.", False), ("Be brief.", True)])
def test_the_prompt_is_the_one_that_the_model_answers(
    system: str | None, text_first: bool, qwen: tuple[Any, Any]
) -> None:
    from r2i.endpoint import Picture, Request

    _, processor = qwen
    local = LocalModel("tiny", loaded=qwen)
    sampling, pictures = Sampling(max_tokens=1, system=system), (Picture.of(item()["image"]),)
    request = Request(ASKED, pictures, sampling, 0, 1, text_first=text_first)
    asked = EncodedRequest(request, list(local.encoder.encode_pictures(request.images).values()))
    prompts = local._prompt_batch([asked])
    ours = make_inputs(processor, Image.open(BytesIO(item()["image"])), ASKED, None, system, text_first)
    assert processor.tokenizer(local.render_prompt(asked))["input_ids"] == (ours.tensors["input_ids"][0].tolist())
    assert torch.where(prompts.visual[0])[0].tolist() == list(range(ours.columns.start, ours.columns.stop))


def test_the_summary_by_hand() -> None:
    ok = {"status": "ok", "reason": "", "layer": 2}
    rows = [
        ok | {"coverage": 0.2, "box_share": 0.1, "image_share": 0.5, "inclusive": 0.3},
        ok | {"coverage": 0.6, "box_share": 0.2, "image_share": 0.3, "inclusive": 0.7},
        ok | {"status": "failed", "reason": "unreadable", "coverage": None, "box_share": None, "image_share": None},
        ok | {"status": "rejected", "reason": "no_box", "layer": 10, "coverage": None},
    ]
    found = summarise_attention(rows)
    assert list(found) == ["2", "10"]
    # 0.2 / 0.1 = 2 and 0.6 / 0.2 = 3
    assert found["2"].pop("left_out") == {"unreadable": 1}
    means = {"coverage": 0.4, "box_share": 0.15, "image_share": 0.4, "inclusive": 0.5, "focus": 2.5}
    assert found["2"] == pytest.approx({"n": 2, **means})
    assert found["10"]["n"] == 0 and found["10"]["coverage"] is None and found["10"]["left_out"] == {"no_box": 1}


# The pictures


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(data)).convert("RGB")).astype(int)


def test_colour_stands_where_the_attention_goes() -> None:
    image = Image.fromarray(PIXELS)
    values = [0.0] * 45
    values[1 * 9 + 6] = 0.4  # row 1, column 6 of 5 x 9
    data = heatmap(image, values, (5, 9), (0, 32, 8, 40))
    shown = pixels_of(data)
    colourful = shown.max(axis=2) - shown.min(axis=2)
    down, across = np.unravel_index(colourful.argmax(), colourful.shape)
    assert (int(down * 5 / shown.shape[0]), int(across * 9 / shown.shape[1])) == (1, 6)
    assert data == heatmap(image, values, (5, 9), (0, 32, 8, 40))


def test_pictures_beside_each_other_share_one_scale() -> None:
    image = Image.new("RGB", (80, 80), (128, 128, 128))
    even, strong = [0.25] * 4, [0.97, 0.01, 0.01, 0.01]
    sheet = pixels_of(heatmaps_beside(image, [even, strong], (2, 2), (60, 60, 70, 70)))
    side = sheet.shape[0]
    assert sheet.shape[1] > 3 * side
    first, second = sheet[:, -2 * side - 12 : -side - 12], sheet[:, -side:]
    alone = pixels_of(heatmap(image, even, (2, 2), (60, 60, 70, 70)))
    spot = side // 4
    # beside a strong look an even one is pale; by itself it would reach half of its own scale
    assert first[spot, spot].sum() < alone[spot, spot].sum() < second[spot, spot].sum()
    relative = [relative_attention(one, (2, 2)) for one in (even, strong)]
    assert top_of_scale(relative) == pytest.approx(3.88)
    assert top_of_scale(relative[:1]) == 2
    parked = np.ones(400)
    parked[0], parked[100:120] = 300, 5  # one token of 400 takes nearly all; 20 are of interest
    assert top_of_scale([parked]) == 5


def test_the_box_is_outlined_where_it_lies() -> None:
    image = Image.new("RGB", (100, 50), (90, 90, 90))
    shown = pixels_of(heatmap(image, [0.0] * 8, (2, 4), (25, 10, 75, 40)))
    white = np.argwhere(shown.min(axis=2) > 200)
    scale = shown.shape[1] / 100
    np.testing.assert_allclose(white.min(axis=0) / scale, (10, 25), atol=1.5)
    np.testing.assert_allclose(white.max(axis=0) / scale, (40, 75), atol=1.5)


def test_outside_the_frame_there_is_no_colour() -> None:
    image = Image.new("RGB", (80, 40), (128, 128, 128))
    shown = pixels_of(heatmap(image, [1.0] * 4, (2, 2), (30, 10, 50, 30), frame=(20, 0, 60, 40)))
    colourful = (shown.max(axis=2) - shown.min(axis=2)).mean(axis=0)
    width = shown.shape[1]
    assert colourful[: width // 4 - 8].max() < 3 and colourful[width // 4 + 8 : width // 3].min() > 20
