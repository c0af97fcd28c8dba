"""What the run of `train` will take, in words for `r2i estimate`."""

from collections.abc import Collection, Iterator

from r2i.core.params import Train
from r2i.train.openrlhf import cost
from r2i.train.openrlhf.attention import FLASH, SDPA, flash_attn_installed
from r2i.train.openrlhf.checks import violations
from r2i.train.openrlhf.memory import GIB, Memory, Part, estimate_memory, kv_room
from r2i.train.openrlhf.model import ModelFacts, read_model_facts

STATE_BYTES = 16  # of a parameter in process: float32 weight, gradient and Adam's two moments
TEACHER_BYTES = 4  # of a parameter of opd's teacher
ACTIVATIONS_GIB = 5  # beside them: seen on a GPU with a 4B model and a row of 4 096 image tokens (docs/log.md)


def estimate_training(
    train: Train, images: int, rows: int | None = None, runs: Collection[str] = ("dapo",)
) -> list[str]:
    """Lines: GPU-hours and what they come from, memory of a GPU and of a node, what would stop the run.

    `rows`: prompts of one epoch; None: guessed from `images`. `runs`: that are trained. Engine trl needs no GPU: no
    line. Raises R2IError where train.base is a folder without a vision-language model's config.
    """
    if train.engine != "openrlhf":
        return []
    model = read_model_facts(train.base)
    if model is None:
        return [f"train: nothing is known of {train.base} here; download it, or name a folder, for an estimate"]
    control = [*(_of_control(train, model) if "sft" in runs and train.has("sft") else [])]
    control += _of_distillation(train, model) if "opd" in runs and train.has("opd") else []
    if "dapo" not in runs or not train.has("dapo"):
        return control
    found = [*_of_hours(train, model, images, rows), *_of_memory(train, model), *_of_faults(train, model, rows)]
    return found + control


def _of_hours(train: Train, model: ModelFacts, images: int, rows: int | None) -> Iterator[str]:
    hours = cost.estimate_hours(train, model, rows or images * cost.ROWS_PER_IMAGE)
    gpus = train.cluster.nodes * train.cluster.gpus_per_node
    shares = ", ".join(f"{name} {getattr(hours, name):,.0f}" for name in ("prefill decode logprobs train idle".split()))
    yield (
        f"train: about {hours.total:,.0f} GPU-hours of an H100, {hours.total / gpus:,.1f} hours on {gpus} "
        f"GPUs: {shares}"
    )
    yield "  from " + ", ".join(f"{count:,.0f} {name}" for name, count in hours.counts.items())
    source = "as told" if rows else f"{cost.ROWS_PER_IMAGE} an image, a guess"
    yield (
        f"  assumed: rows {source}; images of {cost.IMAGE_PIXELS / 1e6:.1f} megapixels before max_pixels; "
        f"{cost.PEAK_TFLOPS:.0f} TFLOPS, of which training reaches {cost.TRAIN_SHARE:.0%} and decoding "
        f"{cost.DECODE_SHARE:.0%}; {cost.IDLE_SHARE:.0%} of the time lost (r2i/train/openrlhf/cost.py)"
    )


def _of_control(train: Train, model: ModelFacts) -> Iterator[str]:
    yield (
        f"train@sft: about {cost.estimate_control_hours(train, model):,.1f} GPU-hours of an H100: {train.sft.steps:,} "
        f"steps of {train.sft.batch} rows, in process on one GPU"
    )
    yield _memory_of_one_gpu("sft", "weights, gradients and Adam in float32", train, model)


def _of_distillation(train: Train, model: ModelFacts) -> Iterator[str]:
    opd = train.opd
    yield (
        f"train@opd: {opd.steps * opd.batch * opd.rollouts:,} rollouts in {opd.steps:,} steps, in process on one GPU; "
        "neither answers nor votes are needed"
    )
    parts = "weights, gradients and Adam of the student and its teacher's weights, in float32"
    yield _memory_of_one_gpu("opd", parts, train, model)


def gib_in_process(run: str, model: ModelFacts) -> float:
    """Of one GPU, that a training in process takes."""
    state_bytes = STATE_BYTES + (TEACHER_BYTES if run == "opd" else 0)
    return state_bytes * model.parameters / GIB + ACTIVATIONS_GIB


def _memory_of_one_gpu(run: str, parts: str, train: Train, model: ModelFacts) -> str:
    needed, limit = gib_in_process(run, model), train.cluster.gpu_memory_gib
    verdict = "fits" if needed < limit else f"does NOT fit: take `{run}` out of `runs`"
    parts += f", and {ACTIVATIONS_GIB} for activations"
    return f"  GPU memory: {needed:.0f} of {limit:.0f} GiB for {parts}; {verdict}"


def _of_memory(train: Train, model: ModelFacts) -> Iterator[str]:
    attention = FLASH if _uses_flash(train) else SDPA
    memory = estimate_memory(train, model, attention)
    verdict = "fits" if memory.fits else "does NOT fit (docs/training.md, Cost and memory)"
    yield (
        f"  GPU memory with {attention}: {memory.total / GIB:.0f} of {memory.limit / GIB:.0f} GiB, {verdict}; "
        f"fullest while {_moment(memory)}: {_list(memory.parts)}"
    )
    yield f"  host RAM of a node: {memory.host_total / GIB:.0f} GiB: {_list(memory.host)}"
    room = kv_room(train, model)
    note = "" if room >= 1 else "; vLLM would not start: raise memory_share or tensor_parallel"
    yield f"  one vLLM engine holds {max(room, 0):.0f} of the longest sequences at once{note}"


def _uses_flash(train: Train) -> bool:
    asked = train.cluster.attention
    return asked == FLASH or (asked == "auto" and flash_attn_installed())


def _moment(memory: Memory) -> str:
    return {"rollout": "vLLM generates", "train": "the longest sample trains", "step": "the optimizer steps"}[
        memory.moment
    ]


def _list(parts: list[Part]) -> str:
    return ", ".join(f"{part.name} {part.bytes / GIB:.1f}" for part in parts)


def _of_faults(train: Train, model: ModelFacts, rows: int | None) -> Iterator[str]:
    for fault in violations(train, model, rows):
        yield f"  {fault}"
