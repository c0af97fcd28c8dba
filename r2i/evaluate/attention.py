"""Attention coverage of every benchmark item: how much of the look at the image goes to the region that matters."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from r2i.core.boxes import Box, area
from r2i.core.errors import ImageError, ParamsError
from r2i.core.ids import make_id, unit_of
from r2i.core.images import read_image, sha256, shrink
from r2i.core.params import Attention
from r2i.core.records import FAILED, OK, REJECTED
from r2i.endpoint.local import MAX_ASPECT
from r2i.evaluate.capture import capture_attention, choose_layers, count_layers
from r2i.evaluate.coverage import inclusive_cells, measure_coverage, token_shares
from r2i.evaluate.inputs import Inputs, make_inputs
from r2i.evaluate.protocol import Protocol

if TYPE_CHECKING:
    from r2i.evaluate.looks import KeptLooks

Row = dict[str, Any]
BATCH_TOKENS = 8192  # in memory and asked together: many small pictures, or one large one


@dataclass(frozen=True)
class Held:
    """An item that waits for the model, or the status and reason why it can't be asked."""

    item: Row
    inputs: Inputs | None = None
    status: str = OK
    reason: str = ""
    digest: str = ""
    """Of what decides about its rows."""


def attention_rows(
    model: Any,
    processor: Any,
    items: Iterable[Row],
    cfg: Attention,
    prompt_of: Callable[[Row], str],
    reply_of: Callable[[Row], str] | None = None,
    protocol: Protocol | None = None,
    kept: "KeptLooks | None" = None,
) -> Iterator[Row]:
    """A row of ATTENTION for each ok item (its full view) and chosen layer, in the order of `items`.

    All layers are measured in the one pass: each row has their coverage as a `curve`.

    `model` and `processor` are Transformers', in process. `prompt_of`: the text that goes with the image.
    `reply_of`, for `queries: answer`: what the model replied, without its end token; it is tokenised anew. `protocol`:
    its system message, order and limit of pixels hold here, too. `kept`: where batches that were measured lie.
    An item without a box, or with one that the processor cuts off, is `rejected` (`no_box`, `box_unseen`); one that
    can't be asked is `failed`. Raises ParamsError for layers that the model lacks, or replies that are needed and
    not given; EndpointError where the model's family, or how it places images, is not known.
    """
    layers = choose_layers(model, cfg.layers)
    if cfg.queries == "answer" and reply_of is None:
        raise ParamsError("evaluate.attention.queries is `answer`, and there are no replies", "use `last_prompt`")
    replied = reply_of if cfg.queries == "answer" else None

    def rows_of(held: list[Held]) -> Iterable[Row]:
        measured = partial(_measure, model, held, layers)
        return kept.rows([one.digest for one in held], measured) if kept and held else measured()

    held: list[Held] = []
    for item in _choose((item for item in items if item["status"] == OK), cfg.items):
        prompt, reply = prompt_of(item), replied(item) if replied else None
        digest = make_id(item["item_id"], item["cluster_id"], sha256(item["image"]), item["box"], prompt, reply)
        held.append(replace(_prepare(processor, item, prompt, reply, protocol), digest=digest))
        if sum(one.inputs.tokens for one in held if one.inputs) >= BATCH_TOKENS:
            yield from rows_of(held)
            held = []
    yield from rows_of(held)


def _choose(items: Iterable[Row], most: int | None) -> Iterable[Row]:
    """At most `most` items by a hash of their ids, in their order; so many are in memory at once."""
    if most is None:
        return items
    few = heapq.nsmallest(most, enumerate(items), key=lambda pair: unit_of("attention", pair[1]["item_id"]))
    return [item for _, item in sorted(few, key=lambda pair: pair[0])]


def _prepare(processor: Any, item: Row, prompt: str, reply: str | None, protocol: Protocol | None) -> Held:
    if not item["box"] or not area(Box(*item["box"])):
        return Held(item, None, REJECTED, "no_box")
    if reply is not None and not reply.strip():
        return Held(item, None, FAILED, "no_reply")
    system = protocol.decoding_of(item).system if protocol else None
    if processor.image_token in (system or "") + prompt + (reply or ""):
        return Held(item, None, FAILED, "bad_request")
    limit = protocol.max_pixels if protocol else None
    try:
        whole = read_image(item["image"])
        image = read_image(shrink(item["image"], limit)) if limit else whole
    except ImageError as error:
        return Held(item, None, FAILED, error.cause)
    if max(image.size) > MAX_ASPECT * min(image.size):
        return Held(item, None, FAILED, "too_narrow")
    inputs = make_inputs(processor, image, prompt, reply, system, bool(protocol and protocol.text_first))
    across, down = whole.width / image.width, whole.height / image.height
    left, top, right, bottom = inputs.frame  # of the picture as it was sent
    inputs = replace(inputs, frame=(left * across, top * down, right * across, bottom * down))
    if not token_shares(item["box"], inputs.frame, inputs.grid).any():
        return Held(item, None, REJECTED, "box_unseen")
    return Held(item, inputs)


def _measure(model: Any, held: Sequence[Held], layers: Sequence[int]) -> Iterator[Row]:
    """The rows of `held`; what has one shape goes through the model at once."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for at, one in enumerate(held):
        if one.inputs:
            groups.setdefault(one.inputs.shape(), []).append(at)
    depth = count_layers(model)
    seen: dict[int, list[torch.Tensor]] = {}  # place among `held` -> of each layer (heads, image tokens)
    for places in groups.values():
        batch = [one for one in (held[at].inputs for at in places) if one]
        tensors = {key: torch.cat([one.tensors[key] for one in batch]) for key in batch[0].tensors}
        found = capture_attention(model, tensors, range(depth), batch[0].rows, batch[0].columns)
        for number, at in enumerate(places):
            seen[at] = [found[layer][number] for layer in range(depth)]
    for at, one in enumerate(held):
        yield from _rows(one, layers, seen.get(at))


def _rows(one: Held, layers: Sequence[int], attention: Sequence[torch.Tensor] | None) -> list[Row]:
    """`attention`: of every layer; None where the item was not asked."""
    if one.inputs is None or attention is None:
        return [_empty_row(one, layer) for layer in layers]
    shares = token_shares(one.item["box"], one.inputs.frame, one.inputs.grid)
    values = [_readable(found) for found in attention]
    curve = [measure_coverage(found, shares).coverage if isinstance(found, np.ndarray) else None for found in values]
    return [_empty_row(one, layer) | _measured(one, one.inputs, values[layer], shares, curve) for layer in layers]


def _empty_row(one: Held, layer: int) -> Row:
    item_id = one.item["item_id"]
    measured = ("coverage", "heads", "box_share", "image_share", "inclusive", "curve", "grid", "frame", "map")
    return dict.fromkeys(measured) | {
        "attention_id": make_id(item_id, layer),
        "item_id": item_id,
        "cluster_id": one.item["cluster_id"],
        "layer": layer,
        "status": one.status,
        "reason": one.reason,
    }


def _readable(attention: torch.Tensor) -> np.ndarray | str:
    """(heads, image tokens), or why it says nothing."""
    if not bool(torch.isfinite(attention).all()):
        return "not_finite"
    if not bool(attention.any()):
        return "no_image_attention"
    return attention.double().cpu().numpy()


def _measured(
    one: Held, inputs: Inputs, values: np.ndarray | str, shares: np.ndarray, curve: list[float | None]
) -> Row:
    """The columns that a measured layer has."""
    if isinstance(values, str):
        return {"status": FAILED, "reason": values}
    cells = inclusive_cells(one.item["box"], inputs.frame, inputs.grid)
    return vars(measure_coverage(values, shares)) | {
        "inclusive": measure_coverage(values, cells).coverage,
        "curve": curve,
        "grid": list(inputs.grid),
        "frame": list(inputs.frame),
        "map": values.mean(axis=0).tolist(),
    }


def summarise_attention(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """By layer: means over the ok rows (`n`), and how many rows each other reason left out.

    `focus` is the mean of coverage / box_share; 1: a look that doesn't care where the box is.
    """
    layers: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        layers.setdefault(str(row["layer"]), []).append(row)
    return {layer: _summarise_layer(layers[layer]) for layer in sorted(layers, key=int)}


def _summarise_layer(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    fine = [row for row in rows if row["status"] == OK]
    values = {name: [row[name] for row in fine] for name in ("coverage", "box_share", "image_share", "inclusive")}
    values["focus"] = [row["coverage"] / row["box_share"] for row in fine]
    left_out: dict[str, int] = {}
    for row in rows:
        if row["status"] != OK:
            left_out[row["reason"]] = left_out.get(row["reason"], 0) + 1
    means = {name: sum(numbers) / len(numbers) if numbers else None for name, numbers in values.items()}
    return {"n": len(fine), **means, "left_out": left_out}
