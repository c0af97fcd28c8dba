"""Typed params: every key known, every unit stated, unknown keys refused.

`params.yaml` holds `seed`, `profile` and `profiles: {mini, smoke, paper}`. A stage reads the
section of its own name from the chosen profile; DVC tracks just that section.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from r2i.core.errors import ParamsError

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Quality = Annotated[int, Field(ge=1, le=100)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sampling(Section):
    """Decoding parameters."""

    temperature: Annotated[float, Field(ge=0)] = 0.0
    """0: greedy decoding."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus sampling: the share of the probability mass that is sampled from; 1: all of it."""
    max_tokens: Count = 64
    """Maximum length of a reply, tokens. A reply that is cut there is `truncated` and never an answer."""


class Price(Section):
    """The price of a model's tokens, in one currency throughout params.yaml."""

    input: Annotated[float, Field(ge=0)]
    """Per million prompt tokens."""
    output: Annotated[float, Field(ge=0)]
    """Per million reply tokens."""


class Endpoint(Section):
    """A model, and how it is called. Params of servers apply to `openai` and `vllm`; see docs/endpoints.md."""

    kind: Literal["local", "openai", "vllm"] = "local"
    """local: in process; openai: any OpenAI-compatible server; vllm: a `vllm serve` that r2i starts when the first
    reply is missing from the store, and stops."""
    model: str = "models/mini"
    """local, vllm: a folder or hub id; openai: the name of the served model."""
    price: Price | None = None
    """Servers: for the cost in metrics, progress lines and `r2i estimate`. null: no cost is reported."""
    batch: Count = 256
    """local: batch size, samples in one forward pass."""
    threads: Count = 2
    """local: number of CPU threads. Results depend on it: floating-point sums differ in their last bits."""
    base_url: str | None = None
    """openai: base URL of the API, e.g. http://host:8000/v1."""
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

    @model_validator(mode="after")
    def _server_has_an_address(self) -> Self:
        if self.kind == "openai" and not self.base_url:
            raise ValueError("kind: openai needs base_url")
        return self


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
        return self


class Sample(Section):
    pools: list[Pool]
    images: Count
    """Most images taken from all pools together."""
    min_side: Annotated[int, Field(ge=1)]
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
    shards: Count = 1

    @model_validator(mode="after")
    def _shares_of_all_or_none(self) -> Self:
        names = [pool.name for pool in self.pools]
        if len(set(names)) < len(names):
            raise ValueError("pools need different names")
        if len({pool.share is None for pool in self.pools}) > 1:
            raise ValueError("give every pool a share, or none")
        return self


class Crop(Section):
    method: Literal["contours", "sam2", "teacher+sam2"]
    """contours: for mini's rendered scenes; sam2: every mask on a grid of points; teacher+sam2: the teacher
    lists objects that appear once, SAM 2 refines their boxes (the paper)."""
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
    """teacher+sam2: lists the objects."""
    listing: Sampling = Sampling(max_tokens=2048)
    """teacher+sam2: how it is asked."""
    prompts: str = "paper"
    """teacher+sam2: style of the prompt files."""
    coordinates: Literal["thousandths", "pixels", "shares"] = "thousandths"
    """teacher+sam2: of the boxes that the teacher writes: 0-1000 (Qwen3-VL), pixels of the image sent, or 0-1."""
    min_objects: Annotated[int, Field(ge=0)] = 3
    """teacher+sam2: images with fewer listed objects are passed over (the reference skips <= 2)."""
    min_score: Share = 0.75
    """Predicted IoU of the mask; teacher+sam2: times its agreement with the teacher's box (IoU)."""
    min_stability: Share = 0.0
    """SAM 2: stability of the mask under a shifted threshold."""
    max_area_share: Share = 0.10
    """Largest box, share of the image."""
    min_side: Count
    """Shortest side of a box, pixels of the full image."""
    max_box_aspect: Annotated[float, Field(ge=1)] | None = None
    """Longest side / shortest side of a box; None: any."""
    max_iou: Share = 0.3
    """Boxes that overlap a better one by more are dropped."""
    per_image: Count
    """Most regions kept from one image."""
    choose: Literal["score", "diverse"] = "score"
    """Which ones: the best scores, or the best score first and then whatever differs most in size and place."""
    margin: Share = 0.1
    """Context added on every side, share of the box."""
    square: bool = False
    """Widen boxes to squares."""
    upscale: Count = 2
    """Lanczos factor for the crop that teachers see."""
    quality: Quality = 95
    """JPEG quality of the crop; below 95 colours are stored at half resolution: all that a crop upscaled by 2 has."""
    executor: Literal["local", "ray"] = "local"
    """ray: Ray Data over the GPUs and nodes there are; the same rows and bytes."""
    shards: Count = 1

    @model_validator(mode="after")
    def _method_is_complete(self) -> Self:
        if self.method == "teacher+sam2" and self.teacher is None:
            raise ValueError("method: teacher+sam2 needs teacher")
        return self


class Question(Section):
    prompts: str
    """Style of the prompt files: mini | paper."""
    teacher: Endpoint
    per_crop: Count = 3
    write: Sampling
    validate_: bool = Field(default=True, alias="validate")
    """Check each question on the original and the crop."""
    check: Sampling
    max_pixels: Count | None = None
    """Images are scaled down to so many pixels (width x height) before they are sent; None: sent as they are."""
    shards: Count = 1


class Teacher(Section):
    name: str
    """Stands on every answer."""
    endpoint: Endpoint
    samples: Count = 4


class Answer(Section):
    prompts: str
    teachers: list[Teacher]
    sampling: Sampling
    max_pixels: Count | None = None
    """The crop is scaled down to so many pixels before it is sent, the same for every teacher; None: sent as it is."""
    skip_below: Count | None = None
    """The agreement that the vote will ask for. The next teacher is not asked once the answers so far, by the
    rules of r2i.core.text, put it out of reach; None: every teacher is always asked."""
    shards: Count = 1

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
    """`rules`: normalised agreement; `llm`: the same first, then a model for what they leave open."""
    endpoint: Endpoint | None = None
    """llm only."""
    prompts: str = "paper"
    sampling: Sampling = Sampling()
    judge_all: bool = False
    """llm only: ask the judge also where the rules have decided, or where joining groups can't reach agreement."""
    shards: Count = 1

    @model_validator(mode="after")
    def _judge_has_a_model(self) -> Self:
        if self.judge == "llm" and self.endpoint is None:
            raise ValueError("judge: llm needs endpoint")
        return self


class Overlay(Section):
    prompts: str
    teacher: Endpoint
    """Writes the distractors."""
    distractors: Count = 3
    write: Sampling
    student: Endpoint
    """Tries the boxed question, to measure how hard it is."""
    tries: Count = 4
    drop_at: Count = 2
    """Rows that the student gets right so many times, of `tries`, are too easy."""
    attempt: Sampling
    per_dimension: Count | None = None
    """Most kept questions of one dimension; None: all."""
    expand: Share = 0.05
    """The drawn box is larger than the region by this share of its size on every side."""
    line: Count = 5
    """Width of the outline, pixels of the full image."""
    quality: Quality = 95
    """JPEG quality of the boxed image; below 95 colours are stored at half resolution, as cameras do."""
    max_pixels: Count | None = None
    """The boxed image is scaled down to so many pixels for the student's tries, not in its row; None: it is not."""
    views: dict[Literal["boxed", "full", "crop"], Share]
    """Share of kept questions that become a row of each view (the paper: boxed 1)."""
    shards: Count = 1


class Judge(Section):
    """A language model that decides about answers which no rule can read."""

    endpoint: Endpoint
    prompts: str = "paper"
    sampling: Sampling = Sampling(temperature=0.0, max_tokens=512)
    max_calls: Count
    """Calls that one training run, or one evaluation, may pay for. What is undecided then is masked in training (never
    graded 0) and unscored in evaluation."""


class Watch(Section):
    """When a training run is warned about: each is compared between its first and its last `window` steps."""

    window: Count = 10
    format_drop: Share = 0.2
    """Fall of the share of closed answer spans."""
    length_growth: Annotated[float, Field(gt=1)] = 2.0
    """Mean response length over that of the start."""
    truncated: Share = 0.3
    """Share of replies that the length limit cut."""
    silent_groups: Share = 0.8
    """Share of groups whose rewards are all equal: nothing is learned from them."""
    masked: Share = 0.1
    """Share of rollouts that could not be graded."""


class Dapo(Section):
    """Shared by both engines; DAPO (arXiv 2503.14476) as the reference runs it. docs/training.md maps it to engines."""

    lr: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    epochs: Count = 1
    max_steps: int = -1
    """Optimizer steps; -1: as many as `epochs` take."""
    rollout_prompts: Count
    """Prompts in one rollout batch."""
    train_prompts: Count
    """Prompts in one optimizer step."""
    group_size: Annotated[int, Field(ge=2)] = 8
    """Rollouts of each prompt."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    clip_low: Annotated[float, Field(gt=0, lt=1)] = 0.2
    clip_high: Annotated[float, Field(gt=0)] = 0.3
    dual_clip: Annotated[float, Field(gt=1)] | None = 3.0
    """Largest ratio that counts where the advantage is negative (arXiv 1912.09729); null: no bound."""
    kl: Annotated[float, Field(ge=0)] = 0.0
    dynamic_sampling: bool = True
    """Only groups whose mean accuracy lies strictly within `dynamic_range` are trained on."""
    dynamic_range: tuple[Share, Share] = (0.0, 1.0)
    max_prompt: Count
    """Tokens, image tokens counted in. Longer rows are left out and counted."""
    max_response: Count
    """Tokens."""
    overlong_buffer: Annotated[int, Field(ge=0)] = 0
    """Tokens before max_response over which the length penalty grows from 0 to `overlong_factor`; 0: none."""
    overlong_factor: Annotated[float, Field(ge=0)] = 1.0
    min_pixels: Count | None = None
    """Of an image as the student sees it in training; null: as its processor says."""
    max_pixels: Count | None = None
    freeze_vision: bool = False
    judge: Judge | None = None
    """Asked last, where no rule reads the answer; null: such an answer is wrong."""
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
    """The control: supervised fine-tuning on the same rows."""

    lr: Annotated[float, Field(gt=0)]
    steps: Count
    batch: Count


class Cluster(Section):
    """engine openrlhf: GPUs and how they are used. None of it is meant to change what is learned."""

    nodes: Count = 1
    gpus_per_node: Count = 8
    """GPUs that train, on each node."""
    engines: Count | None = None
    """vLLM engines; null: as many as the GPUs allow."""
    tensor_parallel: Count = 1
    """GPUs of one vLLM engine."""
    colocate: bool = True
    """Rollouts and training take turns on the same GPUs; off: engines have GPUs of their own."""
    sleep: bool = True
    """colocate: vLLM and DeepSpeed leave the GPU while the other works."""
    memory_share: Annotated[float, Field(gt=0, lt=1)] = 0.6
    """Of a GPU's memory, for vLLM."""
    enforce_eager: bool = False
    zero_stage: Annotated[int, Field(ge=0, le=3)] = 2
    adam_offload: bool = False
    gradient_checkpointing: bool = True
    micro_train: Count = 1
    """Samples of one forward and backward pass on one GPU."""
    micro_rollout: Count = 1
    """Samples of one forward pass for log-probabilities on one GPU."""
    attention: Literal["auto", "sdpa", "flash_attention_2"] = "auto"
    """auto: flash_attention_2 where flash-attn is installed, else sdpa."""
    gpu_memory_gib: Annotated[float, Field(gt=0)] = 80.0
    """Of one GPU: for the estimate of what fits."""
    address: str | None = None
    """Of a running Ray cluster's job server, e.g. http://head:8265; null: this machine alone."""
    start_timeout_s: Annotated[float, Field(gt=0)] = 3600.0
    """Longest silence of the run before it counts as hung and is stopped."""
    flags: list[str] = []
    """Further arguments for OpenRLHF, e.g. [--ds.overlap_comm]; none that the `dapo` params set."""


class Rows(Section):
    """Train rows from elsewhere (r2i.core.records.TRAIN); `r2i rows import` writes them and prints this."""

    path: str
    sha256: str
    """Digest of the table (r2i.importing.digest.table_sha256): a changed table is an error, not a silent change."""


class Train(Section):
    engine: Literal["trl", "openrlhf"]
    base: str
    """Folder or hub id of the student."""
    rows: Rows | None = None
    """null: the rows that `overlay` wrote."""
    dapo: Dapo
    sft: Sft
    threads: Count = 2
    """CPU threads; part of the result, since sums depend on it."""
    save_every: Count = 25
    """Rollout batches (SFT: steps) between two checkpoints from which a killed run goes on."""
    keep: Annotated[int, Field(ge=2)] = 2
    """Checkpoints kept while training; all go when it is done. Two at least: one is there while one is written."""
    tolerance: Share = 0.03
    """engine openrlhf: most by which an accuracy may differ between two trainings on the same rows. GPU kernels and the
    order of rollouts are not fixed, so that `make twins` compares scores, not bytes; no part of any result."""
    cluster: Cluster = Cluster()


BenchmarkKind = Literal[
    "rendered", "table", "zoombench", "vstar", "hrbench", "mme_realworld", "cvbench", "countqa", "colorbench",
    "mmstar", "reference",
]  # fmt: skip


class BenchmarkSource(Section):
    """One benchmark. `table`: any Parquet, JSONL or `datasets` folder, its columns named by `columns`."""

    kind: BenchmarkKind
    name: str | None = None
    """Column `source` of its items; null: the kind."""
    path: str | None = None
    """All but rendered: a file or folder on disk."""
    items: Count | None = None
    """rendered: how many to make; others: at most so many, chosen by a hash of the item's id."""
    columns: dict[str, str] = {}
    """table: ours (r2i.benchmark.table.COLUMNS) -> the file's."""
    box_unit: Literal["pixels", "unit", "thousand"] = "pixels"
    """Of the boxes in the file: pixels, 0 to 1, or 0 to 1000."""
    box_form: Literal["xyxy", "xywh"] = "xyxy"

    @model_validator(mode="after")
    def _has_its_source(self) -> Self:
        if self.kind == "rendered" and self.items is None:
            raise ValueError("kind: rendered needs items")
        if self.kind != "rendered" and not self.path:
            raise ValueError(f"kind: {self.kind} needs path")
        return self


class Benchmark(Section):
    sources: Annotated[list[BenchmarkSource], Field(min_length=1)]
    margin: Share = 0.1
    square: bool = False
    upscale: Count = 2
    expand: Share = 0.05
    line: Count = 5
    contamination_bits: Annotated[int, Field(ge=-1)] = 6
    """Perceptual hashes of a benchmark and a training image that differ in at most so many of 64 bits: the image
    counts as seen in training; -1: only the same bytes or pixels do."""


class Attention(Section):
    """Which attention counts as looking: softmax over all keys, then its share on image tokens."""

    layers: list[int] | None = None
    """Of the language model, from 0; null: the one at two thirds of its depth (24 of 36 in the reference)."""
    queries: Literal["last_prompt", "answer"] = "last_prompt"
    """The last token of the prompt, or the mean over the tokens of the model's own reply."""
    items: Count | None = None
    """At most so many, chosen by a hash of the item's id; null: all."""


class Zoom(Section):
    """The two-step tool loop: the model names a box, sees the crop, answers."""

    box: Literal["model", "oracle"] = "model"
    """oracle: the item's own box is shown, whatever the model said: its cost, and what perfect zooming would give."""
    max_tokens: Count = 256
    """Of the first step."""
    margin: Share = 0.1


class Evaluate(Section):
    prompts: str
    batch: Count = 256
    endpoints: dict[Literal["base", "distilled", "sft"], Endpoint] = {}
    """Models that are asked through a server instead of in process."""
    views: list[Literal["full", "crop", "boxed", "zoom"]] = ["full", "crop", "boxed"]
    samples: Annotated[int, Field(ge=0)] = 8
    """Sampled replies for each item in each of `sampled_views`, for pass@k and the spread; 0: none."""
    sampled_views: list[Literal["full", "crop", "boxed", "zoom"]] = ["full"]
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of the sampled replies."""
    max_tokens: Count
    zoom: Zoom = Zoom()
    attention: Attention | None = None
    """null: no attention coverage."""
    judge: Judge | None = None
    """Asked last; null: what no rule can read is unscored."""
    bootstrap: Count = 2000
    """Draws of the clustered bootstrap."""


class Report(Section):
    gallery: Annotated[int, Field(ge=1, le=50)] = 12
    """Rows of each kind shown; more would not fit into a page of 15 MB."""


class Profile(Section):
    """One scale of the pipeline."""

    sample: Sample
    crop: Crop
    question: Question
    answer: Answer
    vote: Vote
    overlay: Overlay
    train: Train
    benchmark: Benchmark
    evaluate: Evaluate
    report: Report

    @model_validator(mode="after")
    def _no_vote_is_skipped(self) -> Self:
        skip, needed = self.answer.skip_below, self.vote.min_agreement
        if skip is not None and skip > needed:
            raise ValueError(
                f"answer.skip_below is {skip} and vote.min_agreement {needed}: questions that the vote would keep "
                "would not be asked; set skip_below to at most min_agreement, or to null"
            )
        return self


class Params(Section):
    seed: int
    profile: str
    profiles: dict[str, Profile]

    @property
    def chosen(self) -> Profile:
        return self.profiles[self.profile]

    @model_validator(mode="after")
    def _profile_exists(self) -> Self:
        if self.profile not in self.profiles:
            raise ValueError(f"no profile {self.profile!r}; there are: {', '.join(self.profiles)}")
        return self


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check `params.yaml`. Raises ParamsError with the place and the fault of every bad key."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(f"no {path}", "run from the repository's root or pass --params") from error
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not YAML: {error}") from error
    try:
        return Params.model_validate(data)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors())
        raise ParamsError(f"{path}: {faults}", "see r2i/core/params.py for what each key means") from error
