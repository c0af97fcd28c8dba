"""GPU-hours of a run, from its floating-point operations: an estimate, pure arithmetic.

Every assumption is a constant with its reason; `Hours.counts` says what it was computed from.
"""

from dataclasses import dataclass

from r2i.core.params import Dapo, Train
from r2i.train.openrlhf.memory import PROMPT_TEXT
from r2i.train.openrlhf.model import ModelFacts

PEAK_TFLOPS = 989.0  # bf16, dense, of an H100 SXM; an A100 has 312
TRAIN_SHARE = 0.30  # of the peak that training and log-probabilities reach: one sample at a time, sdpa, uneven lengths
PREFILL_SHARE = 0.30
DECODE_SHARE = 0.05  # decoding is bound by memory, also in batches of hundreds
IDLE_SHARE = 0.25  # of a step: the longest rollouts, weights to vLLM, sleep and waking, checkpoints
IMAGE_PIXELS = 3.4e6  # of a training image, mean: SA-1B's have a shorter side of 1500
PROMPT_SHARE = 0.5  # of PROMPT_TEXT, mean
RESPONSE_SHARE = 0.25  # of max_response, mean
KEPT_SHARE = 0.5  # of prompts whose groups dynamic sampling keeps
ROWS_PER_IMAGE = 0.37  # the reference released 37 K rows; that it took 100 K images is a guess of ours


@dataclass(frozen=True)
class Hours:
    """GPU-hours of an H100 by what takes them, and what they were computed from."""

    prefill: float
    decode: float
    logprobs: float
    train: float
    idle: float
    counts: dict[str, float]

    @property
    def total(self) -> float:
        return self.prefill + self.decode + self.logprobs + self.train + self.idle


def estimate_hours(train: Train, model: ModelFacts, rows: float, pixels: float = IMAGE_PIXELS) -> Hours:
    """`rows`: prompts of one epoch; `pixels`: of an image before params' limits, mean."""
    dapo = train.dapo
    prompts = _prompts(dapo, rows)
    trained = prompts * (KEPT_SHARE if dapo.dynamic_sampling else 1.0)
    samples, trained_samples = prompts * dapo.group_size, trained * dapo.group_size
    image = _image_pixels(dapo, pixels) / model.image_token_side**2
    prompt, response = image + PROMPT_TEXT * PROMPT_SHARE, dapo.max_response * RESPONSE_SHARE
    text, vision = text_flops(model, prompt + response), vision_flops(model, image * model.merge**2)
    again = 1 if train.cluster.gradient_checkpointing else 0  # the forward pass, once more
    backward = text * (3 + again) + vision * (1 if dapo.freeze_vision else 3 + again)
    passes = 2 if dapo.kl > 0 else 1  # the reference's log-probabilities too
    spent = {
        "prefill": prompts * (text_flops(model, prompt) + vision) / PREFILL_SHARE,
        "decode": samples * response * 2 * model.text_parameters / DECODE_SHARE,
        "logprobs": trained_samples * passes * (text + vision) / TRAIN_SHARE,
        "train": trained_samples * backward / TRAIN_SHARE,
    }
    hours = {name: flops / (PEAK_TFLOPS * 1e12) / 3600 for name, flops in spent.items()}
    counts = {
        "prompts": prompts,
        "rollouts": samples,
        "rollouts trained on": trained_samples,
        "optimizer steps": trained / dapo.train_prompts,
        "tokens of an image": image,
        "tokens of a response": response,
    }
    return Hours(**hours, idle=sum(hours.values()) * IDLE_SHARE / (1 - IDLE_SHARE), counts=counts)


def estimate_control_hours(train: Train, model: ModelFacts, pixels: float = IMAGE_PIXELS) -> float:
    """GPU-hours of an H100 that SFT takes on as many of its samples as params say: forward, backward, and the forward
    pass once more where activations are recomputed."""
    image = _image_pixels(train.dapo, pixels) / model.image_token_side**2
    passes = text_flops(model, image + PROMPT_TEXT * PROMPT_SHARE) + vision_flops(model, image * model.merge**2)
    samples = train.sft.steps * train.sft.batch
    return samples * 4 * passes / TRAIN_SHARE / (PEAK_TFLOPS * 1e12) / 3600


def text_flops(model: ModelFacts, tokens: float) -> float:
    """Forward, of one sequence: two for a weight and token, and causal attention."""
    matrices = 2 * model.text_parameters * tokens
    return matrices + 2 * model.layers * model.heads * model.head_dim * tokens**2


def vision_flops(model: ModelFacts, patches: float) -> float:
    """Forward, of one image: every patch attends to every other, which outweighs all else in a large image."""
    matrices = 2 * model.vision_parameters * patches
    return matrices + 4 * model.vision_layers * model.vision_hidden * patches**2


def _prompts(dapo: Dapo, rows: float) -> float:
    """That are rolled out: the rows of all epochs, or fewer where max_steps ends it."""
    everything = rows * dapo.epochs
    if dapo.max_steps <= 0:
        return everything
    needed = dapo.max_steps * dapo.train_prompts / (KEPT_SHARE if dapo.dynamic_sampling else 1.0)
    return min(everything, needed)


def _image_pixels(dapo: Dapo, pixels: float) -> float:
    return max(min(pixels, dapo.max_pixels or pixels), dapo.min_pixels or 0)
