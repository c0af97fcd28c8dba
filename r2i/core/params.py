"""Typed params: every key known, every unit stated, unknown keys refused.

`params.yaml` holds `seed`, `profile`, the registries `runs` and `models`, and `profiles`. A stage reads the section of
its own name from the chosen profile; DVC tracks just that section (`data/code/params.yaml`). A stage whose section is
missing is left out (r2i.core.left_out).
"""

import hashlib
import re
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from r2i.core.boxes import BoxUnit
from r2i.core.credentials import fault_of_address, find_credential, find_in_comment, is_variable_name, names_secret
from r2i.core.errors import ParamsError
from r2i.core.names import (
    BASE,
    OBJECTIVES,
    RESERVED,
    SERVER,
    ModelNames,
    ObjectiveName,
    TeacherView,
    TrainView,
    ViewName,
)
from r2i.core.paths import here_or_main
from r2i.core.servers import CLUSTER, find_address, variable
from r2i.core.yaml_text import read_yaml, scalars

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Quality = Annotated[int, Field(ge=1, le=100)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class WithSections(Section):
    """Some of its sections may be missing. `has` asks; to read a missing one raises ParamsError."""

    optional: ClassVar[frozenset[str]] = frozenset()
    place: ClassVar[str] = ""

    def has(self, name: str) -> bool:
        return self.__dict__.get(name) is not None

    if not TYPE_CHECKING:

        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            if value is None and name in type(self).optional:
                raise ParamsError(
                    f"params.yaml: the chosen profile has no section {type(self).place}{name}",
                    "add it (`r2i init` writes a profile with comments), or choose another profile",
                )
            return value


MISSING: Any = None
"""Default of a section that may be missing; its type is that of the section, which is never read as None."""


def refuse_ignored(section: Section, kind: str, takes: Collection[str]) -> None:
    """Raise ValueError for a param that this kind of section has no use for: it was meant to change something.

    `kind`: the name of the param that says it. `takes`: names of the params that are read. One that says what holds
    anyway (null, its default) is let be.
    """
    for name, field in type(section).model_fields.items():
        value = section.__dict__[name]  # a section that is missing is None there
        if name not in takes and value is not None and value != field.get_default(call_default_factory=True):
            said = f"{kind}: {getattr(section, kind)}"
            raise ValueError(f"{said} takes no {name}; it takes {', '.join(sorted(takes))}")


class Sampling(Section):
    """Decoding parameters."""

    temperature: Annotated[float, Field(ge=0)] = 0.0
    """0: greedy decoding."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus sampling: the share of the probability mass that is sampled from; 1: all of it."""
    max_tokens: Count = 64
    """Maximum length of a reply, tokens. A reply that is cut there is `truncated` and never an answer."""
    top_k: Count | None = None
    """Sample from so many most likely tokens; null: from all. This key and those below are sent where they are set."""
    min_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Tokens are left out whose probability is below this share of the most likely one's."""
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    """Taken from the logit of every token that the reply has already."""
    repetition_penalty: Annotated[float, Field(gt=0)] | None = None
    """Divides the positive logits, and multiplies the negative ones, of tokens that prompt or reply have already."""
    stop: list[Annotated[str, Field(min_length=1)]] | None = None
    """The reply ends before the first of these texts."""
    system: str | None = None
    """System message before the prompt."""

    @model_serializer(mode="wrap")
    def _said(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is set: keys of stored replies and of stages know nothing of what is not."""
        return {name: value for name, value in write(self).items() if value is not None}


class Price(Section):
    """The price of a model's tokens, in one currency throughout params.yaml."""

    input: Annotated[float, Field(ge=0)]
    """Per million prompt tokens."""
    output: Annotated[float, Field(ge=0)]
    """Per million reply tokens."""


READERS = ("rapidocr", "tesseract")
"""Models of `kind: ocr`: readers of text (r2i.ocr.engines)."""
IN_PROCESS = frozenset({"local", "ocr"})
"""Kinds of endpoints whose models run in the stage's own process: no reply is paid for, none is stored."""


class Endpoint(Section):
    """A model, and how it is called. Params of servers apply to `openai` and `vllm`; see docs/endpoints.md."""

    kind: Literal["local", "openai", "vllm", "ocr"] = "local"
    """local: in process; openai: any OpenAI-compatible server; vllm: a `vllm serve` that r2i starts when the first
    reply is missing from the store, and stops; ocr: a reader of text, in process (docs/signs.md)."""
    model: str = "models/mini"
    """local, vllm: a folder or hub id; openai: the name of the served model; ocr: rapidocr | tesseract."""
    price: Price | None = None
    """Servers: for the cost in metrics, progress lines and `r2i estimate`. null: no cost is reported."""
    batch: Count = 256
    """local: batch size, samples in one forward pass."""
    threads: Count = 2
    """local: number of CPU threads. Results depend on it: floating-point sums differ in their last bits."""
    base_url: str | None = None
    """openai: base URL of the API, e.g. http://host:8000/v1. It is a fact of a machine: no output depends on it. An
    endpoint of `endpoints` that has none takes that of its name (r2i.core.servers)."""
    name: str | None = None
    """Filled in: the one in `endpoints`."""
    api_key_env: str | None = None
    """Servers: name of the environment variable with the API key; never the key itself."""
    concurrency: Count = 256
    """Servers: maximum number of requests in flight. The limit adapts below it: it grows while throughput does, and
    falls at 429, 503, time-outs, and when latency rises without more throughput."""
    rpm: Count | None = None
    """Servers: maximum number of requests per minute. null: no limit."""
    tpm: Count | None = None
    """Servers: maximum number of tokens per minute, prompts and replies. null: no limit."""
    timeout_s: Annotated[float, Field(gt=0)] = 300.0
    """Servers: timeout of one request, seconds, without the time in r2i's own queue."""
    retries: Annotated[int, Field(ge=0)] = 8
    """Servers: maximum number of retries after 408, 409, 425, 429, 5xx, timeouts, connection errors and malformed
    responses."""
    patience_s: Annotated[float, Field(gt=0)] = 900.0
    """Servers: give up on a request after this many seconds of calls and pauses."""
    samples_in_one: bool = True
    """Servers: all samples of a prompt in one request (`n`). false: one request per sample, each uploads the image."""
    enforce_form: bool = True
    """Servers: structured outputs (`response_format` with a JSON Schema) where a prompt asks for JSON."""
    image_folder: str | None = None
    """Servers on this host: write images to this folder and send file:// URLs instead of the bytes (vLLM:
    --allowed-local-media-path, which `kind: vllm` passes)."""
    command: list[str] = ["vllm", "serve"]
    """vllm: the command that starts the server; the model and `flags` are appended."""
    flags: list[str] = []
    """vllm: further command-line arguments, e.g. [--tensor-parallel-size, "8"]."""
    env: dict[str, str] = {}
    """vllm: further environment variables, e.g. {CUDA_VISIBLE_DEVICES: "0,1"}; no secrets."""
    start_timeout_s: Annotated[float, Field(gt=0)] = 1800.0
    """vllm: maximum number of seconds until the server is healthy (a large model loads for minutes)."""

    @property
    def in_process(self) -> bool:
        return self.kind in IN_PROCESS

    @model_validator(mode="after")
    def _server_has_an_address(self) -> Self:
        if self.kind == "openai" and not self.base_url and not self.name:
            raise ValueError("kind: openai needs base_url, or a name in `endpoints` of the profile")
        if self.base_url is not None and (fault := fault_of_address(self.base_url)):
            raise ValueError(f"base_url {fault}")
        if self.kind == "ocr" and self.model not in READERS:
            raise ValueError(f"kind: ocr has no model {self.model!r}; it has {', '.join(READERS)}")
        return self

    @model_validator(mode="after")
    def _holds_no_secret(self) -> Self:
        if self.api_key_env is not None and not is_variable_name(self.api_key_env):
            raise ValueError(
                "api_key_env is the name of an environment variable (capital letters, digits and _, e.g. "
                "R2I_TEACHER_KEY), not the key: `export R2I_TEACHER_KEY=...`; a key that was committed is to be revoked"
            )
        _refuse_secret_arguments("flags", self.flags)
        _refuse_secret_arguments("command", self.command)
        for name in self.env:
            if names_secret(name):
                raise ValueError(f"env: {name} is a secret by its name: export it in the shell, which is passed on")
        return self


def _refuse_secret_arguments(where: str, arguments: list[str]) -> None:
    """Raise ValueError for `--api-key` and its like, with what to do; the value that follows is not repeated."""
    for name in (argument.partition("=")[0] for argument in arguments if argument.startswith("-")):
        if names_secret(name):
            raise ValueError(
                f"{where}: {name} is a secret by its name: export it as a variable in the shell "
                "(an endpoint's key: the one that api_key_env names)"
            )


class Pool(Section):
    """Where images come from.

    `rendered`: the mini world; `folder`: photographs, recursive; `tar`: tar shards, SA-1B's form; `parquet`:
    files with a column of images (bytes, or Hugging Face's struct of bytes and path).
    """

    kind: Literal["rendered", "folder", "tar", "parquet"]
    name: str
    path: str | None = None
    """folder: the folder; tar, parquet: a file, or a folder with such files below it."""
    scenes: Count | None = None
    """rendered only: how many to draw."""
    column: str = "image"
    """parquet only."""
    share: Annotated[float, Field(gt=0)] | None = None
    """Of the images taken, relative to the other pools' shares. All pools have one, or none has: then the
    images of all pools are one pool."""
    licence: str = ""
    """What may be done with these images, for the data card."""
    version: str | None = None
    """Which files the pool must hold, as `r2i pool version NAME --write` writes it: `sample` stops where it holds
    others. null: not checked, and `metrics/sample.json` says so. Rendered pools need none."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind != "rendered" and not self.path:
            raise ValueError(f"a pool of kind {self.kind} needs path")
        if self.kind == "rendered" and not self.scenes:
            raise ValueError("a pool of kind rendered needs scenes")
        refuse_ignored(self, "kind", {"kind", "name", "share", "licence", *_POOL_TAKES[self.kind]})
        return self


_POOL_TAKES: dict[str, tuple[str, ...]] = {
    "rendered": ("scenes",),
    "folder": ("path", "version"),
    "tar": ("path", "version"),
    "parquet": ("path", "version", "column"),
}


class Sample(Section):
    pools: list[Pool]
    images: Count
    """Maximum number of images over all pools."""
    min_side: Annotated[int, Field(ge=1)] = 256
    """Shortest side allowed, pixels (the reference: over 1200)."""
    max_aspect: Annotated[float, Field(ge=1)] = 4.0
    """Longest side / shortest side."""
    near_duplicate_bits: Annotated[int, Field(ge=-1, le=64)] = 4
    """Images whose perceptual hashes differ by at most so many of 64 bits are one image; -1: off."""
    embed: bool = True
    """Keep the images' bytes in the table. Off: the table refers to the pool's file, which must stay where it is;
    its sha256 is checked when it is read."""
    workers: Count = 2
    """Processes that read and decode; no part of the result."""
    shard_images: Count = 256
    """Images of a shard in the mean. All tables up to the train rows are cut alike; a shard is what is computed, kept
    and computed again."""

    @model_validator(mode="after")
    def _shares_of_all_or_none(self) -> Self:
        names = [pool.name for pool in self.pools]
        if len(set(names)) < len(names):
            raise ValueError("pools need different names")
        if len({pool.share is None for pool in self.pools}) > 1:
            raise ValueError("give every pool a share, or none")
        return self


class Cut(Section):
    """How a crop is cut out of its image: the one that teachers see, that is trained on, that the crop view shows."""

    margin: Share = 0.1
    """Context added to a tight box on every side, share of the box. A box that a benchmark gives has its own."""
    square: bool = False
    """Widen that to a square."""
    upscale: Count = 2
    """Lanczos factor."""
    quality: Quality = 95
    """JPEG quality; below 95 colours are stored at half resolution: all that a crop upscaled by 2 has."""


class Outline(Section):
    """How a region's box is drawn on the full image, for the boxed view."""

    expand: Share = 0.05
    """The drawn box is larger than the region by this share of its size on every side."""
    line: Count = 5
    """Width of the outline, pixels of the full image."""
    quality: Quality = 95
    """JPEG quality; below 95 colours are stored at half resolution, as cameras do."""


class Drawing(Section):
    """What a region looks like, in training and in measuring alike."""

    cut: Cut = Cut()
    outline: Outline = Outline()


class Crop(Section):
    method: Literal["contours", "sam2", "text", "teacher", "teacher+sam2"]
    """contours: what stands out from a quiet ground, for rendered scenes; sam2: every mask on a grid of points;
    text: lines of text that stand in the image once, for photographs (the extra `ocr`, docs/signs.md);
    teacher: the teacher lists objects that appear once, with their boxes; teacher+sam2: the same, and SAM 2 refines
    the boxes (the paper)."""
    sam2_model: str = "facebook/sam2.1-hiera-large"
    """SAM 2: hub id of the segmenter, or a local checkpoint file (then sam2_config says its architecture)."""
    sam2_config: str = "configs/sam2.1/sam2.1_hiera_l.yaml"
    """SAM 2, local checkpoint: a config of the package sam2, or a path."""
    sam2_sha256: str | None = None
    """SAM 2: what the checkpoint must hash to, before it is opened; None: not checked."""
    points_per_side: Count = 32
    """sam2: prompts the whole image with a grid of so many points squared."""
    points_per_batch: Count = 64
    """SAM 2: points or boxes decoded at once; part of the result by last bits alone. At 64 a 12-megapixel image
    takes about 9 GB of mask logits: less on a small GPU."""
    teacher: Endpoint | None = None
    """With a teacher: lists the objects."""
    listing: Sampling = Sampling(max_tokens=2048)
    """With a teacher: how it is asked."""
    prompts: str = "paper"
    """With a teacher: style of the prompt files."""
    max_pixels: Count | None = None
    """With a teacher: the image is scaled down to so many pixels before it is sent; None: it is sent as it is."""
    coordinates: BoxUnit = "thousandths"
    """With a teacher: what it is asked to write boxes in, and they are read as: thousandths, 0 to 1000 of width and
    height (Qwen3-VL); pixels of the image as it is sent (Qwen2.5-VL); shares, 0 to 1 of width and height."""
    min_objects: Annotated[int, Field(ge=0)] = 3
    """With a teacher: images with fewer listed objects are passed over (the reference skips <= 2)."""
    min_score: Share = 0.75
    """contours: contrast, 0 none, 0.6 twice, 0.88 four times the ring around it; text: the detector's;
    sam2: predicted IoU of the mask;
    teacher+sam2: that times the mask's agreement with the teacher's box (IoU). The teacher alone gives no score."""
    min_stability: Share = 0.0
    """SAM 2: stability of the mask under a shifted threshold."""
    max_area_share: Share = 0.10
    """Boxes of this share of the image or a larger one are dropped, as in the reference; 1: none is."""
    min_side: Count = 32
    """Shortest side of a box, pixels of the full image."""
    max_box_aspect: Annotated[float, Field(ge=1)] | None = None
    """Longest side / shortest side of a box; None: any."""
    max_iou: Share = 0.3
    """Boxes that overlap a better one by more are dropped."""
    per_image: Count = 3
    """Most regions kept from one image."""
    choose: Literal["score", "diverse"] = "score"
    """Which ones: the best scores (without scores: those listed first), or the first of these and then whatever differs
    most in size and place."""

    @property
    def asks_teacher(self) -> bool:
        return "teacher" in CROP_TAKES[self.method]

    @property
    def runs_sam2(self) -> bool:
        return "sam2_model" in CROP_TAKES[self.method]

    @model_validator(mode="after")
    def _method_is_complete(self) -> Self:
        if self.asks_teacher and self.teacher is None:
            raise ValueError(f"method: {self.method} needs teacher")
        refuse_ignored(self, "method", {*_OF_ALL_METHODS, *CROP_TAKES[self.method]})
        return self


_OF_ALL_METHODS = ("method", "max_area_share", "min_side", "max_box_aspect", "max_iou", "per_image", "choose")
_LISTING = ("teacher", "listing", "prompts", "max_pixels", "coordinates", "min_objects")
_SAM2 = ("sam2_model", "sam2_config", "sam2_sha256", "points_per_batch", "min_score", "min_stability")
CROP_TAKES: dict[str, tuple[str, ...]] = {
    "contours": ("min_score",),
    "text": ("min_score",),
    "sam2": (*_SAM2, "points_per_side"),
    "teacher": _LISTING,
    "teacher+sam2": (*_LISTING, *_SAM2),
}
"""What each method of `crop` reads beside what all do."""


class Question(Section):
    prompts: str = "paper"
    """Style of the prompt files: mini | paper | signs. Where its `write` names the crop's `{box}`, the full image is
    shown after the crop."""
    teacher: Endpoint
    view: TeacherView = "crop"
    """What the teacher sees when it writes; full: the whole image, as a method without crops would show it. The check
    sees both in either case."""
    per_crop: Count = 3
    write: Sampling = Sampling(temperature=0.9, top_p=0.8, max_tokens=2048)
    validate_: bool = Field(default=True, alias="validate")
    """Check each question on the original and the crop."""
    check: Sampling = Sampling(temperature=0.3, top_p=0.9, max_tokens=2048)
    max_pixels: Count | None = None
    """Images are scaled down to so many pixels (width x height) before they are sent; None: sent as they are."""


class Teacher(Section):
    name: str
    """Stands on every answer. Left out: the name of its endpoint."""
    endpoint: Endpoint
    samples: Count = 4

    @model_validator(mode="before")
    @classmethod
    def _is_called_like_its_endpoint(cls, given: Any) -> Any:
        endpoint = given.get("endpoint") if isinstance(given, dict) else None
        name = endpoint.get("name") if isinstance(endpoint, dict) else None
        return {"name": name} | given if name else given


class Answer(Section):
    prompts: str = "paper"
    teachers: Annotated[list[Teacher], Field(min_length=1)]
    view: TeacherView = "crop"
    """What the teachers see; full: the whole image, as a method without crops would show it."""
    sampling: Sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=4096)
    max_pixels: Count | None = None
    """The picture is scaled down to so many pixels before it is sent, the same for every teacher; None: as it is."""
    skip_below: Count | None = None
    """The agreement that the vote will ask for. The next teacher is not asked once the answers so far, by the
    rules of r2i.grading.equality, put it out of reach; None: every teacher is always asked."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [teacher.name for teacher in self.teachers]
        if len(set(names)) < len(names):
            raise ValueError("teachers need different names")
        return self


class Vote(Section):
    min_agreement: Count = 6
    """Samples, of those asked for, that must give the same answer."""
    judge: Literal["rules", "llm"] = "rules"
    """`rules`: agreement by r2i.grading.equality; `llm`: the same first, then a model for what they leave open."""
    endpoint: Endpoint | None = None
    """llm only."""
    prompts: str = "paper"
    sampling: Sampling = Sampling()
    judge_all: bool = False
    """llm only: ask the judge also where the rules have decided, or where joining groups can't reach agreement."""

    @model_validator(mode="after")
    def _judge_has_a_model(self) -> Self:
        if self.judge == "llm" and self.endpoint is None:
            raise ValueError("judge: llm needs endpoint")
        return self


class Overlay(WithSections):
    optional: ClassVar[frozenset[str]] = frozenset({"teacher", "student"})
    place: ClassVar[str] = "overlay."

    source: Literal["votes", "questions"] = "votes"
    """questions: every question becomes a row as it was asked, without answer, options or tries; no model is called.
    Such rows are for opd alone."""
    prompts: str = "paper"
    teacher: Endpoint = MISSING
    """votes: writes the distractors."""
    distractors: Count = 3
    sees_image: bool = False
    """The writer of distractors sees the full image after the crop: what else stands in it."""
    held_out_images: Share = 0.0
    """Share of images whose questions become no train rows (`held_out_image`): for a benchmark of images that nobody
    was trained on (`r2i benchmark build --unseen-images`)."""
    write: Sampling = Sampling(temperature=0.8, top_p=0.9, max_tokens=1024)
    student: Endpoint = MISSING
    """votes: tries the boxed question, to measure how hard it is."""
    tries: Count = 4
    drop_at: Count = 2
    """Rows that the student gets right so many times, of `tries`, are too easy."""
    attempt: Sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=2048)
    per_dimension: Count | None = None
    """Most kept questions of one dimension; None: all."""
    max_pixels: Count | None = None
    """The boxed image is scaled down to so many pixels for the student's tries, not in its row; None: it is not."""
    held_out_dimensions: list[str] = []
    """Dimensions whose questions are not trained on, so that a benchmark can tell what carries over to them."""
    views: dict[TrainView, Share] = {"boxed": 1.0}
    """Share of kept questions that become a row of each view (the paper: boxed 1)."""

    @property
    def answered(self) -> bool:
        """Whether the rows have answers and options."""
        return self.source == "votes"

    @model_validator(mode="after")
    def _asks_or_does_not(self) -> Self:
        if self.answered:
            for name in ("teacher", "student"):
                if not self.has(name):
                    raise ValueError(f"overlay needs {name}")
        else:
            refuse_ignored(self, "source", {"source", "prompts", "per_dimension", "views"})
            if self.views.get("told"):
                raise ValueError("source: questions makes no rows of the view told; take full, crop or boxed")
        return self


class Judge(Section):
    """An LLM judge: decides whether an answer that no rule can read means the same as the right one."""

    endpoint: Endpoint
    prompts: str = "paper"
    sampling: Sampling = Sampling(temperature=0.0, max_tokens=512)
    max_calls: Count
    """Budget of calls of one training run or one evaluation. What stays undecided is masked in training (its reward is
    never 0) and counts nowhere in evaluation."""


class Watch(Section):
    """Thresholds of collapse warnings, each over the mean of the last `window` steps of the training curve."""

    window: Count = 10
    """Steps."""
    format_drop: Share = 0.2
    """Drop of the share of closed answer spans since the first `window` steps."""
    length_growth: Annotated[float, Field(gt=1)] = 2.0
    """Factor of the mean response length over that of the first `window` steps."""
    truncated: Share = 0.3
    """Share of replies cut by max_response."""
    silent_groups: Share = 0.8
    """Share of groups that dynamic sampling leaves out: they teach nothing."""
    masked: Share = 0.1
    """Share of rollouts without a reward."""
    agreement_drop: Share = 0.1
    """opd: drop of the share of tokens that student and teacher find most likely, since the first `window` steps."""
    entropy: Share = 0.25
    """opd: least entropy of the student's tokens, as a share of its teacher's."""


class Dapo(Section):
    """DAPO (arXiv 2503.14476), the same for both engines; docs/training.md maps it to their options."""

    lr: Annotated[float, Field(gt=0)]
    """Learning rate of AdamW, constant."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    epochs: Count = 1
    max_steps: int = -1
    """Optimizer steps; -1: those of `epochs`."""
    rollout_prompts: Count
    """Prompts of one rollout batch; a multiple of train_prompts."""
    train_prompts: Count
    """Prompts of one optimizer step."""
    group_size: Annotated[int, Field(ge=2)] = 8
    """Rollouts a prompt, over which advantages are normalised."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of the rollouts."""
    clip_low: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """The probability ratio is clipped to [1 - clip_low, 1 + clip_high] (clip-higher)."""
    clip_high: Annotated[float, Field(gt=0)] = 0.3
    dual_clip: Annotated[float, Field(gt=1)] | None = 3.0
    """Upper bound of the ratio where the advantage is negative (arXiv 1912.09729); null: none."""
    kl: Annotated[float, Field(ge=0)] = 0.0
    """Coefficient of the KL divergence from the base; 0: no reference model is loaded."""
    dynamic_sampling: bool = True
    """Train only on groups whose mean accuracy lies strictly within `dynamic_range`."""
    dynamic_range: tuple[Share, Share] = (0.0, 1.0)
    max_prompt: Count
    """Tokens, including image tokens. Longer rows are left out and counted."""
    max_response: Count
    """Tokens of a rollout."""
    overlong_buffer: Annotated[int, Field(ge=0)] = 0
    """Tokens before max_response over which the length penalty grows from 0 to overlong_factor; 0: no penalty."""
    overlong_factor: Annotated[float, Field(ge=0)] = 1.0
    min_pixels: Count | None = None
    """Images are scaled to within these numbers of pixels in training; null: the limits of the processor."""
    max_pixels: Count | None = None
    freeze_vision: bool = False
    """Train the language model alone."""
    judge: Judge | None = None
    """Decides answers that no rule reads; null: these are wrong."""
    watch: Watch = Watch()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.rollout_prompts % self.train_prompts:
            raise ValueError(
                f"rollout_prompts {self.rollout_prompts} is no multiple of train_prompts {self.train_prompts}"
            )
        if self.dynamic_range[0] >= self.dynamic_range[1]:
            raise ValueError(f"dynamic_range {list(self.dynamic_range)} is empty")
        if self.overlong_buffer > self.max_response:
            raise ValueError(f"overlong_buffer {self.overlong_buffer} is more than max_response {self.max_response}")
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels {self.min_pixels} is more than max_pixels {self.max_pixels}")
        return self


class Sft(Section):
    """The control: supervised fine-tuning on the same rows. The target is the voted answer and its letter."""

    lr: Annotated[float, Field(gt=0)]
    """Learning rate of AdamW, constant."""
    steps: Count
    """Optimizer steps."""
    batch: Count
    """Rows of one optimizer step."""
    micro: Count | None = None
    """Rows of one forward and backward pass; gradients add up over the batch. null: the whole batch."""

    @model_validator(mode="after")
    def _whole_passes(self) -> Self:
        if self.micro and self.batch % self.micro:
            raise ValueError(f"batch {self.batch} is no multiple of micro {self.micro}")
        return self


class Opd(Section):
    """On-policy self-distillation: the student replies to what it sees, and learns from itself where it sees the crop.

    The target is the teacher's distribution of every token of the student's own reply. No answer, vote or reward is
    read, but with `show_answer`.
    """

    lr: Annotated[float, Field(gt=0)]
    """Learning rate of AdamW."""
    schedule: Literal["constant", "linear"] = "constant"
    """linear: the learning rate falls to 0 over the steps."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    steps: Count
    """Optimizer steps."""
    batch: Count
    """Prompts of one optimizer step."""
    micro: Count | None = None
    """Prompts of one forward and backward pass; gradients add up over the batch, passes count alike. null: all."""
    rollouts: Count = 1
    """The student's replies to a prompt."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of the rollouts."""
    crop_share: Share = 0.5
    """Share of the prompts of a step that the student, too, sees on the crop: they keep what it can up close."""
    teacher: Literal["frozen", "ema"] = "frozen"
    """frozen: the base; ema: an average of the student's weights that follows it."""
    ema_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """ema: how far the teacher moves to the student after each step; null: 0.05."""
    divergence: Literal["forward_kl", "reverse_kl", "jsd"] = "forward_kl"
    """Of teacher and student, for each token: KL(teacher | student), KL(student | teacher), or what lies between."""
    jsd_weight: Annotated[float, Field(gt=0, lt=1)] | None = None
    """jsd: the teacher's weight in the mixture; null: 0.5."""
    top_k: Count | None = None
    """Compare the teacher's most likely tokens alone, all others as one; null: the whole vocabulary."""
    show_full: bool = False
    """The teacher sees the student's picture, too, before the crop."""
    show_answer: bool = False
    """The teacher is told the voted answer."""
    max_prompt: Count
    """Tokens, including image tokens. Longer rows are left out and counted."""
    max_response: Count
    """Tokens of a rollout."""
    min_pixels: Count | None = None
    """Images are scaled to within these numbers of pixels in training; null: the limits of the processor."""
    max_pixels: Count | None = None
    freeze_vision: bool = False
    """Train the language model alone."""
    watch: Watch = Watch()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.micro and self.batch % self.micro:
            raise ValueError(f"batch {self.batch} is no multiple of micro {self.micro}")
        if self.ema_rate is not None and self.teacher != "ema":
            raise ValueError(f"teacher: {self.teacher} takes no ema_rate")
        if self.jsd_weight is not None and self.divergence != "jsd":
            raise ValueError(f"divergence: {self.divergence} takes no jsd_weight")
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels {self.min_pixels} is more than max_pixels {self.max_pixels}")
        return self


class DapoAttention(Dapo):
    """DAPO, and a second loss: where a rollout was right, its tokens look at the region's box (engine trl)."""

    attention_weight: Annotated[float, Field(gt=0)]
    """Of that loss: - log of the share of the attention to the image that goes to the box, mean over tokens."""
    attention_layers: list[int] | None = None
    """Of the language model, from 0; null: the one at two thirds of its depth."""


class Cluster(Section):
    """GPUs of engine openrlhf and how they are used; meant to change speed and memory, not what is learned."""

    nodes: Count = 1
    gpus_per_node: Count = 8
    """GPUs that train, on each node."""
    engines: Count | None = None
    """vLLM engines; null: training GPUs / tensor_parallel."""
    tensor_parallel: Count = 1
    """GPUs of one vLLM engine."""
    colocate: bool = True
    """Rollouts and training share the GPUs in turn; false: engines have their own GPUs."""
    sleep: bool = True
    """With colocate: vLLM and DeepSpeed free the GPU's memory while the other one works."""
    memory_share: Annotated[float, Field(gt=0, lt=1)] = 0.6
    """Share of a GPU's memory for vLLM (gpu_memory_utilization)."""
    enforce_eager: bool = False
    """vLLM without CUDA graphs: starts faster, decodes slower."""
    zero_stage: Annotated[int, Field(ge=0, le=3)] = 2
    """DeepSpeed's ZeRO: what is sharded over the GPUs (1: optimizer, 2: gradients too, 3: weights too)."""
    adam_offload: bool = False
    """Keep Adam's states in host RAM."""
    gradient_checkpointing: bool = True
    """Recompute activations in the backward pass: less memory, more time."""
    micro_train: Count = 1
    """Samples of a forward and backward pass on one GPU."""
    micro_rollout: Count = 1
    """Samples of a forward pass for log-probabilities on one GPU."""
    attention: Literal["auto", "sdpa", "flash_attention_2"] = "auto"
    """auto: flash_attention_2 where flash-attn is installed, else sdpa."""
    gpu_memory_gib: Annotated[float, Field(gt=0)] = 80.0
    """Memory of one GPU, for `r2i estimate`."""
    start_timeout_s: Annotated[float, Field(gt=0)] = 3600.0
    """Stop the run after this many seconds without output."""
    flags: list[str] = []
    """Further arguments of OpenRLHF, e.g. [--ds.overlap_comm]; not those that params set."""

    @model_validator(mode="before")
    @classmethod
    def _has_no_address(cls, given: Any) -> Any:
        if isinstance(given, dict) and "address" in given:
            raise ValueError(
                f"address: a fact of a place, no param: take it out, and set ${variable(CLUSTER)}, or write "
                f"`{CLUSTER}: http://head:8265` into servers.yaml"
            )
        return given

    @model_validator(mode="after")
    def _holds_no_secret(self) -> Self:
        _refuse_secret_arguments("flags", self.flags)
        return self


class Rows(Section):
    """Train rows from elsewhere (r2i.core.records.TRAIN); `r2i rows import` writes them and prints this."""

    path: str
    sha256: str | None = None
    """Digest of the table (r2i.importing.digest.table_sha256): a changed table is an error, not a silent change. null:
    nothing was imported yet, and `train` stops."""


class Train(WithSections):
    """Each run of `train` has a section of its name here; a run that has none is left out."""

    optional: ClassVar[frozenset[str]] = frozenset(OBJECTIVES)
    place: ClassVar[str] = "train."

    engine: Literal["trl", "openrlhf"]
    """trl: in this process, on a CPU or one GPU; openrlhf: on a GPU or a cluster."""
    base: str
    """Folder or hub id of the student."""
    rows: Rows | None = None
    """null: the rows of `overlay`. Else no stage before `train` runs, whatever other sections the profile has."""
    prompts: str | None = None
    """Style of the form that replies are taught; null: that of `overlay`."""
    dapo: Dapo = MISSING
    sft: Sft = MISSING
    opd: Opd = MISSING
    dapo_attention: DapoAttention = MISSING
    threads: Count = 2
    """CPU threads of engine trl. The result depends on it: sums are split over threads."""
    gradient_checkpointing: bool | None = None
    """Engine trl: recompute activations in the backward pass: less memory, more time. null: on a GPU."""
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the images whose rows are held out. Accuracy on them is measured at every checkpoint."""
    choose: Literal["last", "best"] = "last"
    """The model that is saved: of the last step, or of the checkpoint with the best validation."""
    save_every: Count = 25
    """Rollout batches (SFT: steps) between two checkpoints, from which a killed run resumes."""
    keep: Annotated[int, Field(ge=2)] = 2
    """Newest checkpoints kept while training; at least two, so that one is complete while another is written."""
    tolerance: Share = 0.03
    """Largest difference of an accuracy between two runs of engine openrlhf on the same rows, for `make twins`: GPU
    kernels and the order of rollouts are not deterministic."""
    cluster: Cluster = Cluster()

    def limits(self, run: str) -> Dapo | Opd:
        """The section that bounds a run's prompts, replies and images, and says when it is warned about: its own
        where that has limits, else `dapo`. Raises ParamsError where there is none."""
        own = getattr(self, run, None)
        return own if isinstance(own, Dapo | Opd) else self.dapo

    def learns_from_answers(self) -> str:
        """The first param of this section that needs rows with answers; "" where none does."""
        runs = [run for run in OBJECTIVES if self.has(run) and run != "opd"]
        told = ["opd.show_answer"] if self.has("opd") and self.opd.show_answer else []
        return next(iter([*runs, *told, *(["validation"] if self.validation else [])]), "")

    @model_validator(mode="after")
    def _validated(self) -> Self:
        if self.choose == "best" and not self.validation:
            raise ValueError("choose: best needs rows to choose by: set validation, e.g. 0.05")
        return self


BenchmarkKind = Literal[
    "rendered", "table", "zoombench", "vstar", "hrbench", "mme_realworld", "cvbench", "countqa", "colorbench",
    "mmstar", "reference", "hallusionbench", "mathvision", "babyvision", "fakeclue",
]  # fmt: skip


class BenchmarkSource(Section):
    """One benchmark. `table`: any Parquet, JSONL or `datasets` folder, its columns named by `columns`."""

    kind: BenchmarkKind
    name: str | None = None
    """Column `source` of its items; null: the kind."""
    group: str | None = None
    """Benchmarks of one group have a macro average of their own; null: that of the kind (r2i.benchmark.groups)."""
    path: str | None = None
    """All but rendered: a file or folder on disk."""
    items: Count | None = None
    """rendered: how many to make; others: at most so many, chosen by a hash of the item's id."""
    options: bool = True
    """rendered: false: asked in words, as open questions."""
    things: Literal["usual", "small"] = "usual"
    """rendered: small: objects of sizes that no training image has, with less of their material to see."""
    columns: dict[str, str] = {}
    """table: ours (r2i.benchmark.table.COLUMNS) -> the file's."""
    box_unit: BoxUnit = "pixels"
    """table, cvbench, reference, zoombench: of the file's boxes: pixels, 0 to 1, or 0 to 1000. Name it where images
    are larger than 1000 pixels: else boxes whose numbers allow two units fail."""
    box_form: Literal["xyxy", "xywh"] = "xyxy"
    """table, cvbench, reference, zoombench."""
    version: str | None = None
    """Which files the source must hold, as `r2i benchmark version NAME --write` writes it: `benchmark` stops where it
    holds others. null: not checked, and `metrics/benchmark.json` says so."""

    @model_validator(mode="after")
    def _has_its_source(self) -> Self:
        if self.kind == "rendered" and self.items is None:
            raise ValueError("kind: rendered needs items")
        if self.kind != "rendered" and not self.path:
            raise ValueError(f"kind: {self.kind} needs path")
        refuse_ignored(self, "kind", {"kind", "name", "group", "items", *_SOURCE_TAKES[self.kind]})
        return self


_SOURCE_TAKES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(get_args(BenchmarkKind), ("path", "version")),
    **dict.fromkeys(("cvbench", "reference", "zoombench"), ("path", "version", "box_unit", "box_form")),
    "table": ("path", "version", "columns", "box_unit", "box_form"),
    "rendered": ("options", "things"),
}


def takes_unit(source: BenchmarkSource) -> bool:
    """Whether params say in which unit the source's boxes are."""
    return "box_unit" in _SOURCE_TAKES[source.kind]


class Benchmark(Section):
    sources: Annotated[list[BenchmarkSource], Field(min_length=1)]
    contamination_bits: Annotated[int, Field(ge=-1)] = 6
    """Perceptual hashes of a benchmark and a training image that differ in at most so many of 64 bits: the image
    counts as seen in training; -1: only the same bytes or pixels do."""


class Attention(Section):
    """Which attention counts as looking: softmax over all keys, then its share on image tokens."""

    layers: list[int] | None = None
    """Of the language model, from 0; null: the one at two thirds of its depth (the reference: the 24th of 36, index
    23). The curve over all layers is measured in any case."""
    queries: Literal["last_prompt", "answer"] = "last_prompt"
    """The last token of the prompt, or the mean over the tokens of the model's own reply."""
    items: Count | None = None
    """At most so many, chosen by a hash of the item's id; null: all."""


class Zoom(Section):
    """The two-step tool loop: the model names a box, sees that region cut as `drawing.cut` says, answers."""

    box: Literal["model", "oracle"] = "model"
    """oracle: the item's own box is shown, whatever the model said: its cost, and what perfect zooming would give."""
    max_tokens: Count = 256
    """Of the first step."""
    turns: Annotated[int, Field(ge=1, le=20)] | None = None
    """The view is a conversation with a zoom tool instead, at most so many looks long: the agentic baseline. Its
    replies are as long as all others."""

    @model_validator(mode="after")
    def _a_conversation_names_its_boxes(self) -> Self:
        if self.turns and self.box == "oracle":
            raise ValueError("turns: the model calls for regions by itself: set box: model")
        return self


OWN_PROTOCOL = "r2i"
PROTOCOLS = Path("protocols")


def find_protocol(name: str) -> Path:
    """The file of a protocol: a name's is protocols/<name>.yaml."""
    is_path = "/" in name or name.endswith((".yaml", ".yml"))
    return here_or_main(Path(name) if is_path else PROTOCOLS / f"{name}.yaml")


class Evaluate(Section):
    prompts: str = "paper"
    protocol: Annotated[str, Field(min_length=1)] = OWN_PROTOCOL
    """How items are asked: r2i (our prompts, greedy), protocols/<name>.yaml by its name (`zwz`, `official`: docs/
    protocols.md), or the path of such a file."""
    protocol_sha256: str | None = None
    """Of that file; filled in, so that another text in it evaluates anew. One that is written here pins it."""
    engine: Literal["local", "vllm"] = "local"
    """What asks the models that `endpoints` doesn't name: this process, or a `vllm serve` that r2i starts for each in
    its turn. Attention is measured in process all the same."""
    batch: Count = 256
    """engine local: samples in one forward pass."""
    endpoints: dict[str, Endpoint] = {}
    """By name, the models of the registry that are asked in another way."""
    views: list[ViewName] = ["full", "crop", "boxed"]
    samples: Annotated[int, Field(ge=0)] = 8
    """Sampled replies for each item in each of `sampled_views`, for pass@k and the spread; 0: none."""
    sampled_views: list[ViewName] = ["full"]
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of the sampled replies."""
    max_tokens: Count = 2048
    zoom: Zoom = Zoom()
    attention: Attention | None = None
    """null: no attention coverage."""
    judge: Judge | None = None
    """Asked last; null: what no rule can read is unscored."""
    bootstrap: Count = 2000
    """Draws of the clustered bootstrap."""

    @model_validator(mode="before")
    @classmethod
    def _the_protocols_text_counts(cls, given: Any) -> Any:
        name = given.get("protocol") if isinstance(given, dict) else None
        if not isinstance(name, str) or name == OWN_PROTOCOL or given.get("protocol_sha256"):
            return given
        try:
            data = find_protocol(name).read_bytes()
        except (OSError, ValueError):  # whoever evaluates says so
            return given
        return {**given, "protocol_sha256": hashlib.sha256(data).hexdigest()}


class Report(Section):
    gallery: Annotated[int, Field(ge=1, le=50)] = 12
    """Rows of each kind shown; more would not fit into a page of 15 MB."""


class Execution(Section):
    """Where the stages from crop to overlay are computed. No part of any result, and no stage reruns for it."""

    executor: Literal["local", "ray"] = "local"
    """local: processes of this machine; ray: the cluster at $RAY_ADDRESS, or all of this machine."""
    workers: Count = 1
    """local: processes that share the shards. They share the limits of servers as well; a stage that starts a vLLM has
    one."""
    share_device: bool = False
    """Servers that r2i starts (`kind: vllm`) are up one at a time: a stage that asks several goes model by model. For a
    machine whose GPU holds one of them. Models in process (`kind: local`) take no turns."""


EndpointName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
ROLES = frozenset({"teacher", "student", "endpoint"})
"""Keys below which an endpoint stands, or its name."""


def _named(name: str, endpoint: dict[str, Any]) -> dict[str, Any]:
    """An endpoint as it is written, with its name and, of a server, its address on this machine."""
    address = find_address(name) if endpoint.get("kind") == "openai" else None
    return {**endpoint, "name": name, **({"base_url": address} if address else {})}


def _with_endpoints(given: Any, known: dict[str, Any], at: str = "") -> Any:
    """A profile as it is written, each name of an endpoint replaced by that endpoint. Raises ValueError."""
    if isinstance(given, list):
        return [_with_endpoints(one, known, at) for one in given]
    if isinstance(given, dict):
        inside = {name: "endpoint" if at == "endpoints" else name for name in given}
        return {name: _with_endpoints(one, known, inside[name]) for name, one in given.items()}
    if at in ROLES and isinstance(given, str):
        if given not in known:
            raise ValueError(f"{at}: no endpoint {given!r} in the profile; its endpoints: {', '.join(known) or 'none'}")
        return known[given]
    return given


CHAIN = ("sample", "crop", "question", "answer", "vote", "overlay")
"""Stages from images to train rows: each needs the one before it."""


class Profile(WithSections):
    """One scale of the pipeline. A stage whose section is missing is left out; with `train.rows` so are all of CHAIN,
    whose sections are checked and then count as missing."""

    optional: ClassVar[frozenset[str]] = frozenset({*CHAIN, "train", "benchmark", "evaluate"})

    rehearsal: bool = False
    """Small models stand in for the profile's: its report says so (bench/rehearsal.py)."""
    execution: Execution = Execution()
    endpoints: dict[EndpointName, Endpoint] = {}
    """Models that sections name (`teacher: large`) instead of writing them out."""
    sample: Sample = MISSING
    drawing: Drawing = Drawing()
    crop: Crop = MISSING
    question: Question = MISSING
    answer: Answer = MISSING
    vote: Vote = MISSING
    overlay: Overlay = MISSING
    train: Train = MISSING
    benchmark: Benchmark = MISSING
    evaluate: Evaluate = MISSING
    report: Report = Report()

    @model_validator(mode="before")
    @classmethod
    def _named_endpoints_are_written_out(cls, given: Any) -> Any:
        known = given.get("endpoints") if isinstance(given, dict) else None
        if known is not None and not isinstance(known, dict):
            return given
        named = {name: _named(name, one) if isinstance(one, dict) else one for name, one in (known or {}).items()}
        return _with_endpoints(given | {"endpoints": named} if named else given, named)

    @model_validator(mode="after")
    def _rows_from_elsewhere_need_no_chain(self) -> Self:
        if not self.has("train") or self.train.rows is None:
            return self
        if self.train.prompts is None and self.has("overlay"):
            self.__dict__["train"] = self.train.model_copy(update={"prompts": self.overlay.prompts})
        for name in CHAIN:
            self.__dict__[name] = MISSING
            self.model_fields_set.discard(name)
        return self

    @model_validator(mode="after")
    def _stages_have_what_they_read(self) -> Self:
        unvoted = self.has("overlay") and not self.overlay.answered
        for before, name in [*pairwise(CHAIN), *([("question", "overlay")] if unvoted else [])]:
            if self.has(name) and not self.has(before) and not (unvoted and (before, name) == CHAIN[-2:]):
                raise ValueError(f"{name} needs the section {before}: there would be nothing to read")
        if unvoted and self.has("train") and self.train.rows is None and (wrong := self.train.learns_from_answers()):
            raise ValueError(f"overlay.source: questions gives rows without answers, which train needs for {wrong}")
        if self.has("train") and self.train.rows is None and not self.has("overlay"):
            raise ValueError("train needs rows: those of the section overlay, or train.rows (`r2i rows import`)")
        if self.has("train") and self.train.prompts is None and not self.has("overlay"):
            raise ValueError("train needs prompts: there is no section overlay whose style it could take")
        if self.has("evaluate") and not self.has("benchmark"):
            raise ValueError("evaluate needs the section benchmark: there would be nothing to ask")
        if not any(self.has(name) for name in self.optional):
            raise ValueError("no section of any stage: there is nothing to run")
        return self

    @property
    def row_style(self) -> str | None:
        """Style of the prompts of train rows; None where the profile has no such rows."""
        own = self.train.prompts if self.has("train") else None
        return own or (self.overlay.prompts if self.has("overlay") else None)

    def runs(self) -> list[ObjectiveName]:
        """Of `train`: those that the profile has."""
        return [run for run in OBJECTIVES if self.has("train") and self.train.has(run)]

    @model_validator(mode="after")
    def _no_vote_is_skipped(self) -> Self:
        if not self.has("vote"):
            return self
        skip, needed = self.answer.skip_below, self.vote.min_agreement
        if skip is not None and skip > needed:
            raise ValueError(
                f"answer.skip_below is {skip} and vote.min_agreement {needed}: questions that the vote would keep "
                "would not be asked; set skip_below to at most min_agreement, or to null"
            )
        return self


class Run(Section):
    """A run of `train`, by its objective. Both keys are facts of r2i.core.names, written out for DVC's templates."""

    folder: str
    """That it writes."""
    curve: str
    """What its plot shows."""


class RegisteredModel(Section):
    """A model that is evaluated."""

    from_: str = Field(alias="from")
    """`base`: the profile's train.base; a run of `train`; `server`: the profile's evaluate.endpoints.<name>; a hub id;
    or a folder. A model is evaluated where the chosen profile has what it comes from."""
    needs: str
    """What DVC waits for, and evaluates the model anew for: its folder. A hub id or a server has none:
    data/benchmark/items, which every evaluation needs."""
    title: str | None = None
    """As readers see it; null: its name."""

    @model_validator(mode="after")
    def _comes_from_somewhere(self) -> Self:
        source = self.from_
        if source in (BASE, SERVER) or source in OBJECTIVES:
            return self
        if not re.fullmatch(r"[^\s/]*(/[^\s/]+)+/?", source):
            raise ValueError(
                f"from: {source!r} is neither {BASE}, {SERVER}, a run of train ({', '.join(OBJECTIVES)}), a hub id "
                "(OWNER/NAME) nor a folder (write ./NAME)"
            )
        return self


ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""Of a file, of a DVC stage and of a param, so without dots."""


class Params(Section):
    seed: int
    profile: str
    runs: dict[ObjectiveName, Run]
    """The trainings that the pipeline runs."""
    models: dict[ModelName, RegisteredModel]
    """All models that any profile evaluates. Of those that the chosen one does, the first is the base that the others
    are compared with, the second the one that headlines are about."""
    profiles: dict[str, Profile]

    @property
    def chosen(self) -> Profile:
        return self.profiles[self.profile]

    @property
    def evaluated(self) -> dict[str, RegisteredModel]:
        """The registered models that the chosen profile evaluates: it has what they come from."""
        return {name: model for name, model in self.models.items() if self._is_evaluated(name, model)}

    def _is_evaluated(self, name: str, model: RegisteredModel) -> bool:
        profile = self.chosen
        if not profile.has("evaluate"):
            return False
        match model.from_:
            case "base":
                return profile.has("train")
            case "server":
                return name in profile.evaluate.endpoints
            case source:
                return source not in OBJECTIVES or source in profile.runs()

    @property
    def model_names(self) -> ModelNames:
        """Of the models that the chosen profile evaluates, and of the runs that it trains."""
        models = self.evaluated
        runs = [run for run in self.runs if run in self.chosen.runs()]
        return ModelNames(
            titles={name: model.title or name for name, model in models.items()},
            runs={run: next((name for name, m in models.items() if m.from_ == run), "") for run in runs},
        )

    @model_validator(mode="after")
    def _profile_exists(self) -> Self:
        if self.profile not in self.profiles:
            raise ValueError(f"no profile {self.profile!r}; there are: {', '.join(self.profiles)}")
        return self

    @model_validator(mode="after")
    def _runs_are_those_of_the_code(self) -> Self:
        for run, given in self.runs.items():
            known = OBJECTIVES[run]
            if (given.folder, given.curve) != (f"models/{known.folder}", known.curve):
                raise ValueError(f"runs.{run} must be {{folder: models/{known.folder}, curve: {known.curve}}}")
        return self

    @model_validator(mode="after")
    def _models_can_be_evaluated(self) -> Self:
        if len({model.title or name for name, model in self.models.items()}) < len(self.models):
            raise ValueError("models: two have the same title")
        for name, model in self.models.items():
            if name in RESERVED:
                raise ValueError(f"models.{name}: metrics/evaluate.json has a key of this name; choose another")
            if model.from_ in OBJECTIVES and model.from_ not in self.runs:
                known = ", ".join(self.runs) or "none"
                raise ValueError(
                    f"models.{name}: {model.from_} is not among the runs ({known}): add it, or take it out"
                )
            folder = self.runs[model.from_].folder if model.from_ in self.runs else None  # type: ignore[index]
            if folder and model.needs != folder:
                raise ValueError(f"models.{name} comes from {model.from_}: write needs: {folder}")
        return self

    @model_validator(mode="after")
    def _servers_are_of_registered_models(self) -> Self:
        if self.chosen.has("evaluate"):
            for name in self.chosen.evaluate.endpoints:
                if name not in self.models:
                    raise ValueError(f"evaluate.endpoints.{name}: no such model; registered: {', '.join(self.models)}")
        return self


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check `params.yaml`. Raises ParamsError with the place and the fault of every bad key, and where any
    profile holds a key or a password, which it doesn't repeat."""
    if not path.is_file():
        raise ParamsError(f"no {path}", "run from the repository's root or pass --params")
    try:
        text = path.read_text(encoding="utf-8")
        secrets = [(line, find_credential(value)) for value, line in scalars(text)]
        secrets += [(line, find_in_comment(words)) for line, words in enumerate(text.splitlines(), 1)]
        data = read_yaml(text)
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path} is not UTF-8 ({error.reason})", "save it as UTF-8, as DVC reads it") from error
    except OSError as error:
        raise ParamsError(f"{path} can't be read ({error})", "see who may read it") from error
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not YAML: {error}", "correct it; `git diff` shows what changed") from error
    if found := [f"line {line} holds {what}" for line, what in sorted({one for one in secrets if one[1]})]:
        raise ParamsError(
            f"{path}: {'; '.join(found)}",
            "export it as a variable in the shell and name that in api_key_env; a key that was committed is to be "
            "revoked",
        )
    try:
        return Params.model_validate(data)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors())
        raise ParamsError(f"{path}: {faults}", "see r2i/core/params.py for what each key means") from error
