"""A Qwen3-VL or Qwen2.5-VL in process. Replies depend on the requests, never on their order.

An image that several requests show is encoded once; n samples of a request share one prefill.
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
from r2i.endpoint.base import LoadedModel, Model, Picture, Reply, Request, canonical, sample_key
from r2i.endpoint.decode import Generation, PromptBatch, TokenRules, decode
from r2i.endpoint.vision import attend_in_one_call

FAMILIES = ("qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
CACHE_BYTES = 256 * 2**20  # of image features
MAX_ASPECT = 200  # longest side / shortest side that Qwen's image processor takes


def load_local(folder: str | Path, full_precision: bool = False) -> LoadedModel:
    """The model (on the GPU where there is one, else on the CPU, in eval mode) and processor (pads left).

    The model is in float32 on the CPU and with `full_precision`, else as it was saved. `folder` may also be a hub id.
    Raises EndpointError when it is neither, when a file is missing or broken, when weights are missing, or when it is
    of none of FAMILIES.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from transformers.utils import logging

    _require_folder(Path(folder))
    logging.disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        processor = AutoProcessor.from_pretrained(str(folder))
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            str(folder), dtype=torch.float32 if full_precision or device == "cpu" else "auto", output_loading_info=True
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
    if model.config.model_type not in FAMILIES:
        raise EndpointError(
            f"{folder} is a {model.config.model_type}, no Qwen3-VL or Qwen2.5-VL",
            "serve it by an OpenAI-compatible server and use `kind: openai`",
        )
    if processor.tokenizer.convert_tokens_to_ids(processor.image_token) != model.config.image_token_id:
        # also what a missing tokenizer looks like: Transformers makes an empty one
        raise EndpointError(f"{folder} has no tokenizer that goes with its model", "fetch its tokenizer files again")
    processor.tokenizer.padding_side = "left"
    return LoadedModel(attend_in_one_call(model).to(device).eval(), processor)


def _require_folder(folder: Path) -> None:
    """Raises EndpointError for a missing folder. `models/x` is a path where `models` is a folder, else a hub id."""
    named_as_path = folder.is_absolute() or len(folder.parts) != 2 or folder.parent.is_dir()
    if not folder.is_dir() and named_as_path:
        raise EndpointError(
            f"there is no model at {folder}", "run the stage that writes it: `dvc repro`, or `dvc pull`"
        )


@dataclass(frozen=True)
class EncodedImage:
    """An image of T tokens: its grid (3,), and the features (T, D) of the input and of each deepstack layer (Qwen3)."""

    grid: torch.Tensor
    layers: tuple[torch.Tensor, ...]

    def size(self) -> int:
        """Bytes of the features."""
        return sum(layer.numel() * layer.element_size() for layer in self.layers)


@dataclass(frozen=True)
class EncodedRequest:
    """A request with its images encoded, in their order."""

    request: Request
    images: list[EncodedImage]


class ImageEncoder:
    """Encodes every distinct image once, as long as its features are in the cache."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.model, self.processor = model, processor
        self.cache: OrderedDict[str, EncodedImage] = OrderedDict()

    def encode_pictures(self, pictures: Sequence[Picture]) -> dict[str, EncodedImage | ImageError]:
        """By a picture's name: its encoded image, or why it can't be read."""
        named = {picture.name: picture for picture in pictures}
        encoded: dict[str, EncodedImage | ImageError] = {name: self.cache[name] for name in named if name in self.cache}
        images = {}
        for name in sorted(named.keys() - encoded.keys()):
            try:
                images[name] = _read_picture(named[name].load())
            except ImageError as error:
                encoded[name] = error
        if images:
            fresh = dict(zip(images, self.encode(list(images.values())), strict=True))
            encoded |= fresh
            self._add_to_cache(fresh)
        return encoded

    @torch.inference_mode()
    def encode(self, images: list[Any]) -> list[EncodedImage]:
        """Encode `images` (Pillow, RGB) in one forward pass."""
        inputs = self.processor.image_processor(images=images, return_tensors="pt").to(self.model.device)
        grids = inputs["image_grid_thw"]
        pixels = inputs["pixel_values"].to(self.model.dtype)
        out = self.model.model.get_image_features(pixels, grids, return_dict=True)
        sizes = [len(tokens) for tokens in out.pooler_output]
        deepstack = getattr(out, "deepstack_features", None) or ()
        layers = [out.pooler_output, *(layer.split(sizes) for layer in deepstack)]
        features = zip(grids, *layers, strict=True)
        return [EncodedImage(grid, tuple(part.clone() for part in parts)) for grid, *parts in features]

    def _add_to_cache(self, fresh: dict[str, EncodedImage]) -> None:
        self.cache |= fresh
        total = sum(image.size() for image in self.cache.values())
        while total > CACHE_BYTES:
            total -= self.cache.popitem(last=False)[1].size()


def _read_picture(data: bytes) -> Any:
    picture = read_image(data)
    if max(picture.size) > MAX_ASPECT * min(picture.size):
        raise ImageError("too_narrow")
    return picture


class LocalModel(Model):
    """The model in a folder, or of a hub id; `batch` samples share a forward pass."""

    kind = "local"
    price = None
    loaded: LoadedModel

    def __init__(self, folder: str | Path, batch: int = 256, loaded: tuple[Any, Any] | None = None) -> None:
        """`loaded`: a model and processor that are in memory already, e.g. while they are trained."""
        self.name, self.batch = str(folder), batch
        self.loaded = LoadedModel(*(loaded or load_local(folder)))
        self.model, self.processor = self.loaded
        self.encoder = ImageEncoder(self.model, self.processor)
        self.tokens = _token_rules(self.model, self.processor)
        self.texts: dict[str, str] = {}  # conversations in the chat template

    def complete(self, requests: Sequence[Request]) -> list[list[Reply]]:
        """`n` replies for each request, in order. An image that can't be read fails its own request alone."""
        self.texts.clear()
        replies: list[list[Reply]] = [[] for _ in requests]
        batches = list(self._batches(requests))
        done = (pair for batch in batches for pair in self._answer(requests, batch))
        for index, answers in track(done, self.name, len(requests)) if len(batches) > 1 else done:
            replies[index] = answers
        return replies

    def _batches(self, requests: Sequence[Request]) -> Iterator[list[int]]:
        """Indices in batches of equal sampling and n and similar length, requests about one image together.

        The order follows from the requests' content, so that the batches are a function of the set of requests.
        """
        groups: dict[tuple[str, int], list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault((request.sampling.model_dump_json(), request.n), []).append(index)
        for (_, n), indices in sorted(groups.items()):
            indices = sorted(indices, key=lambda index: _sort_key(requests[index]))
            size = max(1, self.batch // n)
            yield from (indices[at : at + size] for at in range(0, len(indices), size))

    def _answer(self, requests: Sequence[Request], batch: list[int]) -> Iterator[tuple[int, list[Reply]]]:
        """The replies to one batch, each with its index."""
        images = self.encoder.encode_pictures([picture for index in batch for picture in requests[index].images])
        ready: dict[int, EncodedRequest] = {}
        for index in batch:
            request = requests[index]
            encoded = [images[picture.name] for picture in request.images]
            if reason := self._refusal(request, encoded):
                yield index, [self._reply(request, i, "", reason) for i in range(request.n)]
            else:
                ready[index] = EncodedRequest(request, [image for image in encoded if isinstance(image, EncodedImage)])
        if not ready:
            return
        prompts = self._prompt_batch(list(ready.values()))
        lengths = prompts.mask.sum(-1).tolist()
        generations = self._decode(list(ready.values()), prompts)
        texts = self.processor.tokenizer.batch_decode(
            [ids for ids, _ in generations], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        samples = zip(generations, texts, strict=True)
        for (index, asked), length in zip(ready.items(), lengths, strict=True):
            replies = []
            for i in range(asked.request.n):
                (ids, ended), text = next(samples)
                text, ended = _cut_at_stop(text, ended, asked.request.sampling.stop)
                reason = "truncated" if not ended else "" if text.strip() else "empty"
                replies.append(self._reply(asked.request, i, text, reason, 0 if i else length, len(ids) + ended))
            yield index, replies

    def sample(self, asked: list[EncodedRequest]) -> list[Generation]:
        """The replies' token ids, request by request; all requests have the same sampling and n."""
        return self._decode(asked, self._prompt_batch(asked))

    def _decode(self, asked: list[EncodedRequest], prompts: PromptBatch) -> list[Generation]:
        request = asked[0].request
        seeds = [each.request.seed for each in asked]
        return decode(self.model, prompts, self.tokens, request.sampling, seeds, request.n)

    def _reply(
        self, request: Request, sample: int, text: str, reason: str, tokens_in: int = 0, tokens_out: int = 0
    ) -> Reply:
        key = sample_key(request.key(self.name), sample)
        return Reply(text, FAILED if reason else OK, reason, key, self.name, tokens_in, tokens_out)

    def _refusal(self, request: Request, images: Sequence[EncodedImage | ImageError]) -> str:
        """Why a request can't be asked, or an empty text."""
        for image in images:
            if isinstance(image, ImageError):
                return image.cause
        marks = (self.processor.image_token, self.processor.video_token)
        texts = (request.sampling.system or "", *(turn.text for turn in request.turns))
        return "bad_request" if any(mark in text for mark in marks for text in texts) else ""

    @torch.inference_mode()
    def _prompt_batch(self, asked: list[EncodedRequest]) -> PromptBatch:
        """Render, tokenise and embed the prompts, with every image's features in place of its tokens."""
        device, core = self.model.device, self.model.model
        texts = [self.render_prompt(each) for each in asked]
        inputs = self.processor.tokenizer(texts, padding=True, padding_side="left", return_tensors="pt").to(device)
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        images = [image for each in asked for image in each.images]
        grids = torch.stack([image.grid for image in images]) if images else None
        visual = ids == self.model.config.image_token_id
        positions, deltas = core.get_rope_index(
            ids, mm_token_type_ids=visual.long(), image_grid_thw=grids, attention_mask=mask
        )
        embeds = self.model.get_input_embeddings()(ids)
        layers = [torch.cat(parts) for parts in zip(*(image.layers for image in images), strict=True)]
        if layers:
            embeds = embeds.masked_scatter(visual[..., None].expand_as(embeds), layers[0].to(embeds.dtype))
        return PromptBatch(embeds, mask, positions, deltas, visual, layers[1:], ids)

    def render_prompt(self, asked: EncodedRequest) -> str:
        """The prompt in the chat template, with an image token for each feature."""
        request = asked.request
        key = canonical([request.turns, request.sampling.system, request.text_first])
        if key not in self.texts:
            system = request.sampling.system
            messages: list[dict[str, Any]] = [] if system is None else [{"role": "system", "content": system}]
            for turn in request.turns:
                content: list[dict[str, str]] = [{"type": "image"}] * turn.images
                content.insert(0 if request.text_first else len(content), {"type": "text", "text": turn.text})
                messages.append({"role": turn.role, "content": content})
            self.texts[key] = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        first, *rest = self.texts[key].split(self.processor.image_token)
        marks = [self.processor.image_token * len(image.layers[0]) for image in asked.images]
        return first + "".join(mark + part for mark, part in zip(marks, rest, strict=True))


def _sort_key(request: Request) -> tuple[int, int, str, str]:
    """Coarse size of the images, coarse length of the text, the images, the request itself.

    The order decides which prompts share a forward pass, and thereby the last bits of their logits: keep it as it is
    when requests change.
    """
    names = [picture.name for picture in request.images]
    size = sum(len(picture.load()) for picture in request.images)
    parts = {
        "schema": 1, "model": "", "prompt": request.prompt, "images": names,
        "sampling": request.sampling.model_dump(), "seed": request.seed, "sample": 0,
    }  # fmt: skip
    return size.bit_length(), len(request.prompt) // 32, "".join(names), sha256(canonical(parts).encode())


def _cut_at_stop(text: str, ended: bool, stop: Sequence[str] | None) -> tuple[str, bool]:
    """The reply up to the first of the texts `stop`, and whether it ended: as a server that stops there gives it."""
    places = [at for mark in stop or () if (at := text.find(mark)) >= 0]
    return (text[: min(places)], True) if places else (text, ended)


def _token_rules(model: Any, processor: Any) -> TokenRules:
    """What ends a reply; image and video marks, padding and ids without a token are never generated."""
    ends = model.generation_config.eos_token_id or model.config.text_config.eos_token_id
    ends = frozenset([ends] if isinstance(ends, int) else ends)
    config, tokenizer = model.config, processor.tokenizer
    marks = {config.image_token_id, config.video_token_id, config.vision_start_token_id, config.vision_end_token_id}
    banned = (marks | {tokenizer.pad_token_id}) - ends - {None}
    bias = torch.zeros(config.text_config.vocab_size, device=model.device)
    bias[len(tokenizer) :] = float("-inf")
    bias[sorted(banned)] = float("-inf")
    return TokenRules(ends, bias)
