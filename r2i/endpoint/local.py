"""A Qwen3-VL in process. Replies depend on the requests, never on their order.

An image that several requests show is processed and encoded once; n samples read their prompt once.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from r2i.core.errors import EndpointError, ImageError
from r2i.core.images import read_image, sha256
from r2i.core.progress import track
from r2i.core.records import FAILED, OK
from r2i.endpoint.base import Picture, Reply, Request, canonical, sample_key
from r2i.endpoint.decode import Prompts, Tokens, decode
from r2i.endpoint.vision import attend_in_one_call

FAMILY = ("qwen3_vl", "qwen3_vl_moe")
KEEP_BYTES = 256 * 2**20  # of image features
MAX_ASPECT = 200  # what Qwen3-VL's image processor takes


def load_local(folder: str | Path) -> tuple[Any, Any]:
    """Model (on the GPU where there is one, else float32 on the CPU, in eval mode) and processor (pads left).

    `folder` may also be a hub id. Raises EndpointError when it is neither, when a file is missing
    or broken, when weights are missing, or when it is no Qwen3-VL.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from transformers.utils import logging

    _refuse_missing(Path(folder))
    logging.disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        processor = AutoProcessor.from_pretrained(str(folder))
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            str(folder), dtype="auto" if device == "cuda" else torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().split("\n")[0][:200]
        raise EndpointError(
            f"the model {folder} can't be loaded: {type(error).__name__}: {first}",
            "see that the folder is whole (`dvc pull`; models/mini: `git checkout`), or give the id of a hub model",
        ) from error
    model, info = loaded
    if info["missing_keys"]:  # Transformers would go on with random numbers in their place
        lost = sorted(info["missing_keys"])
        raise EndpointError(f"{folder} lacks {len(lost)} weights, e.g. {lost[0]}", "fetch or train it again")
    if model.config.model_type not in FAMILY:
        raise EndpointError(
            f"{folder} is a {model.config.model_type}, not a Qwen3-VL",
            "serve it by an OpenAI-compatible server and use `kind: openai`",
        )
    if processor.tokenizer.convert_tokens_to_ids(processor.image_token) != model.config.image_token_id:
        # also what a missing tokenizer looks like: Transformers makes an empty one
        raise EndpointError(f"{folder} has no tokenizer that goes with its model", "fetch its tokenizer files again")
    processor.tokenizer.padding_side = "left"
    return attend_in_one_call(model).to(device).eval(), processor


def _refuse_missing(folder: Path) -> None:
    """A path is told from a hub id by its parent: `models/distilled` is a path where `models/` exists."""
    named_as_path = folder.is_absolute() or len(folder.parts) != 2 or folder.parent.is_dir()
    if not folder.is_dir() and named_as_path:
        raise EndpointError(
            f"there is no model at {folder}", "run the stage that writes it: `dvc repro`, or `dvc pull`"
        )


@dataclass(frozen=True)
class Seen:
    """An encoded image of T tokens: its grid (3,), and features (T, D) of the input and each deepstack layer."""

    grid: torch.Tensor
    layers: tuple[torch.Tensor, ...]

    def size(self) -> int:
        return sum(layer.numel() * layer.element_size() for layer in self.layers)


class Eyes:
    """Encodes every distinct image once, as long as its features are kept."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.model, self.processor = model, processor
        self.kept: OrderedDict[str, Seen] = OrderedDict()

    def look(self, images: Sequence[Picture]) -> dict[str, Seen | ImageError]:
        """By name: the encoded image, or why there is none."""
        named = {picture.name: picture for picture in images}
        found: dict[str, Seen | ImageError] = {name: self.kept[name] for name in named if name in self.kept}
        pictures = {}
        for name in sorted(named.keys() - found.keys()):
            try:
                pictures[name] = _readable(named[name].load())
            except ImageError as error:
                found[name] = error
        if pictures:
            fresh = dict(zip(pictures, self.encode(list(pictures.values())), strict=True))
            found |= fresh
            self._keep(fresh)
        return found

    @torch.inference_mode()
    def encode(self, pictures: list[Any]) -> list[Seen]:
        inputs = self.processor.image_processor(images=pictures, return_tensors="pt").to(self.model.device)
        grids = inputs["image_grid_thw"]
        pixels = inputs["pixel_values"].to(self.model.dtype)
        out = self.model.model.get_image_features(pixels, grids, return_dict=True)
        sizes = [len(tokens) for tokens in out.pooler_output]
        layers = [out.pooler_output, *(layer.split(sizes) for layer in out.deepstack_features)]
        return [Seen(grid, tuple(part.clone() for part in parts)) for grid, *parts in zip(grids, *layers, strict=True)]

    def _keep(self, fresh: dict[str, Seen]) -> None:
        self.kept |= fresh
        total = sum(seen.size() for seen in self.kept.values())
        while total > KEEP_BYTES:
            total -= self.kept.popitem(last=False)[1].size()


def _readable(data: bytes) -> Any:
    picture = read_image(data)
    if max(picture.size) > MAX_ASPECT * min(picture.size):
        raise ImageError("too_narrow")
    return picture


class LocalModel:
    """A folder or hub id, asked `batch` samples at a time."""

    def __init__(self, folder: str | Path, batch: int = 256, loaded: tuple[Any, Any] | None = None) -> None:
        """`loaded`: a model and processor already in memory, e.g. one that is being trained."""
        self.name, self.batch = str(folder), batch
        self.model, self.processor = loaded or load_local(folder)
        self.eyes = Eyes(self.model, self.processor)
        self.tokens = _tokens(self.model, self.processor)
        self.texts: dict[tuple[str, int], str] = {}

    def complete(self, requests: Sequence[Request]) -> list[list[Reply]]:
        """`n` replies for each request, in order; a picture that can't be read fails its own request alone."""
        self.texts.clear()
        replies: list[list[Reply]] = [[] for _ in requests]
        batches = list(self._batches(requests))
        done = (pair for batch in batches for pair in self._answer(requests, batch))
        for index, answers in track(done, self.name, len(requests)) if len(batches) > 1 else done:
            replies[index] = answers
        return replies

    def _batches(self, requests: Sequence[Request]) -> Iterator[list[int]]:
        """Indices in batches of one sampling and n, alike in length, with questions about one image together.

        The order follows from what is asked, so that the batches are a function of the set of requests.
        """
        groups: dict[tuple[str, int], list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault((request.sampling.model_dump_json(), request.n), []).append(index)
        for (_, n), indices in sorted(groups.items()):
            indices = sorted(indices, key=lambda index: _place(requests[index]))
            size = max(1, self.batch // n)
            yield from (indices[at : at + size] for at in range(0, len(indices), size))

    def _answer(self, requests: Sequence[Request], batch: list[int]) -> Iterator[tuple[int, list[Reply]]]:
        """The replies to one batch, each with its index."""
        seen = self.eyes.look([picture for index in batch for picture in requests[index].images])
        ready: list[tuple[int, list[Seen]]] = []
        for index in batch:
            views = [seen[picture.name] for picture in requests[index].images]
            reason = self._unfit(requests[index], views)
            if reason:
                yield index, [self._reply(requests[index], i, "", reason) for i in range(requests[index].n)]
            else:
                ready.append((index, [view for view in views if isinstance(view, Seen)]))
        if not ready:
            return
        n = requests[batch[0]].n
        asked = [(requests[index], views) for index, views in ready]
        prompts = self._prompts(asked)
        lengths = prompts.mask.sum(-1).tolist()
        said = self._decode(asked, prompts)
        texts = self.processor.tokenizer.batch_decode(
            [ids for ids, _ in said], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        for at, (index, _) in enumerate(ready):
            rows = range(at * n, at * n + n)
            reasons = ["" if said[r][1] and texts[r].strip() else "empty" if said[r][1] else "truncated" for r in rows]
            tokens = [(0 if i else lengths[at], len(said[r][0]) + said[r][1]) for i, r in enumerate(rows)]
            yield index, [self._reply(requests[index], i, texts[r], reasons[i], tokens[i]) for i, r in enumerate(rows)]

    def sample(self, asked: list[tuple[Request, list[Seen]]]) -> list[tuple[list[int], bool]]:
        """Token ids of the replies, prompt by prompt, and whether they ended; all ask for one sampling and n."""
        return self._decode(asked, self._prompts(asked))

    def _decode(self, asked: list[tuple[Request, list[Seen]]], prompts: Prompts) -> list[tuple[list[int], bool]]:
        request = asked[0][0]
        seeds = [request.seed for request, _ in asked]
        return decode(self.model, prompts, self.tokens, request.sampling, seeds, request.n)

    def _reply(self, request: Request, sample: int, text: str, reason: str, tokens: tuple[int, int] = (0, 0)) -> Reply:
        key = sample_key(request.key(self.name), sample)
        return Reply(text, FAILED if reason else OK, reason, key, self.name, *tokens)

    def _unfit(self, request: Request, views: Sequence[Seen | ImageError]) -> str:
        """Why a request can't be asked, or an empty text."""
        for view in views:
            if isinstance(view, ImageError):
                return view.cause
        marks = (self.processor.image_token, self.processor.video_token)
        return "bad_request" if any(mark in request.prompt for mark in marks) else ""

    @torch.inference_mode()
    def _prompts(self, asked: list[tuple[Request, list[Seen]]]) -> Prompts:
        """Render, tokenise and embed, with every image's features in the place of its tokens."""
        device, core = self.model.device, self.model.model
        texts = [self.text(request, views) for request, views in asked]
        inputs = self.processor.tokenizer(texts, padding=True, padding_side="left", return_tensors="pt").to(device)
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        views = [view for _, row in asked for view in row]
        grids = torch.stack([view.grid for view in views]) if views else None
        visual = ids == self.model.config.image_token_id
        positions, deltas = core.get_rope_index(
            ids, mm_token_type_ids=visual.long(), image_grid_thw=grids, attention_mask=mask
        )
        embeds = self.model.get_input_embeddings()(ids)
        layers = [torch.cat(parts) for parts in zip(*(view.layers for view in views), strict=True)]
        if layers:
            embeds = embeds.masked_scatter(visual[..., None].expand_as(embeds), layers[0].to(embeds.dtype))
        return Prompts(embeds, mask, positions, deltas, visual, layers[1:])

    def text(self, request: Request, views: Sequence[Seen]) -> str:
        """The chat template, with one image token for each feature."""
        asked = (request.prompt, len(views))
        if asked not in self.texts:
            content = [{"type": "image"} for _ in views] + [{"type": "text", "text": request.prompt}]
            messages = [{"role": "user", "content": content}]
            self.texts[asked] = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        first, *rest = self.texts[asked].split(self.processor.image_token)
        marks = [self.processor.image_token * len(view.layers[0]) for view in views]
        return first + "".join(mark + part for mark, part in zip(marks, rest, strict=True))


def _place(request: Request) -> tuple[int, int, str, str]:
    """Sort key: coarse size of the images, coarse length of the text, the images, the request itself.

    The order decides which prompts share a forward pass, and thereby the last bits of their logits: whatever
    else changes about requests, it stays as it is.
    """
    names = [picture.name for picture in request.images]
    size = sum(len(picture.load()) for picture in request.images)
    parts = {
        "schema": 1, "model": "", "prompt": request.prompt, "images": names,
        "sampling": request.sampling.model_dump(), "seed": request.seed, "sample": 0,
    }  # fmt: skip
    return size.bit_length(), len(request.prompt) // 32, "".join(names), sha256(canonical(parts).encode())


def _tokens(model: Any, processor: Any) -> Tokens:
    """What ends a reply; image and video marks, padding and ids without a token are never said."""
    ends = model.generation_config.eos_token_id or model.config.text_config.eos_token_id
    ends = frozenset([ends] if isinstance(ends, int) else ends)
    config, tokenizer = model.config, processor.tokenizer
    marks = {config.image_token_id, config.video_token_id, config.vision_start_token_id, config.vision_end_token_id}
    banned = (marks | {tokenizer.pad_token_id}) - ends - {None}
    bias = torch.zeros(config.text_config.vocab_size, device=model.device)
    bias[len(tokenizer) :] = float("-inf")
    bias[sorted(banned)] = float("-inf")
    return Tokens(ends, bias)
