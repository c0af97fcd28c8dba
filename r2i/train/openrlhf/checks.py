"""What OpenRLHF, DeepSpeed or vLLM would refuse after minutes of loading, said before anything starts: pure."""

from collections.abc import Iterator
from fractions import Fraction

from r2i.core.params import Train
from r2i.train.openrlhf.flags import engines
from r2i.train.openrlhf.model import ModelFacts


def violations(train: Train, model: ModelFacts | None, rows: int | None) -> list[str]:
    """Each fault as `params: what; what to change`; none where the run can start.

    `model`: None where nothing is known of it; `rows`: prompts of one epoch, None where not known yet. The rules
    that need either are then left out.
    """
    return [
        *_of_gpus(train),
        *_of_batches(train),
        *_of_zero(train),
        *_of_rows(train, rows),
        *_of_model(train, model),
        *_of_rounding(train),
    ]


def world(train: Train) -> int:
    """GPUs that train, each one data-parallel rank."""
    return train.cluster.nodes * train.cluster.gpus_per_node


def _of_gpus(train: Train) -> Iterator[str]:
    cluster, gpus = train.cluster, world(train)
    if cluster.colocate:
        used = engines(cluster) * cluster.tensor_parallel
        if used != gpus:
            yield (
                f"train.cluster: {engines(cluster)} engines of {cluster.tensor_parallel} GPUs are {used} GPUs, and "
                f"{gpus} train; with colocate they must be the same: change engines, tensor_parallel or gpus_per_node"
            )
    elif cluster.engines is None:
        yield "train.cluster: without colocate engines have GPUs of their own; say how many in engines"


def _of_batches(train: Train) -> Iterator[str]:
    dapo, cluster, gpus = train.dapo, train.cluster, world(train)
    rollout, step = dapo.rollout_prompts * dapo.group_size, dapo.train_prompts * dapo.group_size
    if rollout // cluster.micro_rollout < gpus:
        yield (
            f"train.dapo: a rollout batch has {rollout // cluster.micro_rollout} micro-batches ({rollout} samples, "
            f"micro_rollout {cluster.micro_rollout}), fewer than the {gpus} GPUs: raise rollout_prompts or lower "
            "micro_rollout"
        )
    elif rollout % (cluster.micro_rollout * gpus):
        yield (
            f"train.dapo: {rollout} samples of a rollout batch (rollout_prompts x group_size) don't split into "
            f"micro-batches of {cluster.micro_rollout} on each of {gpus} GPUs alike, and the GPUs would wait for each "
            f"other for ever: make it a multiple of {cluster.micro_rollout * gpus}"
        )
    if step % (cluster.micro_train * gpus):
        yield (
            f"train.dapo: {step} samples of an optimizer step (train_prompts x group_size) are no multiple of "
            f"micro_train x GPUs ({cluster.micro_train} x {gpus}): change train_prompts, micro_train or the GPUs"
        )


def _of_zero(train: Train) -> Iterator[str]:
    cluster = train.cluster
    if cluster.zero_stage == 0 and cluster.colocate and cluster.sleep:
        yield "train.cluster: DeepSpeed can't leave the GPU (sleep) with zero_stage 0: use zero_stage 1 or more"
    if cluster.zero_stage == 0 and cluster.adam_offload:
        yield "train.cluster: adam_offload needs zero_stage 1 or more"


def _of_rows(train: Train, rows: int | None) -> Iterator[str]:
    dapo = train.dapo
    if rows is not None and rows * dapo.epochs < dapo.rollout_prompts:
        yield (
            f"train.dapo: {rows} rows in {dapo.epochs} epochs don't fill one rollout batch of {dapo.rollout_prompts} "
            "prompts, and nothing would be trained: lower rollout_prompts, or make more rows"
        )


def _of_rounding(train: Train) -> Iterator[str]:
    """OpenRLHF divides by a group's deviation plus 1e-9: of equal rewards that are no exact binary numbers it makes
    advantages of about 1 out of rounding. Dynamic sampling leaves such groups out."""
    dapo = train.dapo
    slope = Fraction(dapo.overlong_factor) / max(1, dapo.overlong_buffer)
    if dapo.overlong_buffer and not dapo.dynamic_sampling and (slope * 2**16).denominator != 1:
        yield (
            f"train.dapo: penalties in steps of {dapo.overlong_factor:g} / {dapo.overlong_buffer} are no exact binary "
            "numbers, and without dynamic_sampling OpenRLHF would train on the rounding of groups with equal rewards: "
            "use an overlong_buffer of 256, 512 or 1024 and a factor of 1 or 0.5, or set dynamic_sampling"
        )


def _of_model(train: Train, model: ModelFacts | None) -> Iterator[str]:
    if model is None:
        return
    dapo, share = train.dapo, train.cluster.tensor_parallel
    longest = dapo.max_prompt + dapo.max_response
    if longest > model.positions:
        yield (
            f"train.dapo: max_prompt + max_response is {longest} tokens, and {train.base} takes {model.positions}: "
            "lower one of them"
        )
    for what, heads in (("attention", model.heads), ("vision", model.vision_heads)):
        if heads % share:
            yield (
                f"train.cluster: tensor_parallel {share} does not divide the {heads} {what} heads of {train.base}: "
                "change tensor_parallel"
            )
    if model.heads % share == 0 and model.kv_heads % share and share % model.kv_heads:
        yield (
            f"train.cluster: tensor_parallel {share} neither divides the {model.kv_heads} key-value heads of "
            f"{train.base} nor is a multiple of them: change tensor_parallel"
        )
    if dapo.min_pixels and dapo.min_pixels // model.image_token_side**2 >= dapo.max_prompt:
        tokens = dapo.min_pixels // model.image_token_side**2
        yield (
            f"train.dapo: the smallest image of min_pixels {dapo.min_pixels} takes {tokens} tokens, and max_prompt is "
            f"{dapo.max_prompt}: no row would be left; lower min_pixels or raise max_prompt"
        )
