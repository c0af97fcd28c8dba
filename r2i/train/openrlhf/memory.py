"""What a run takes of one GPU's memory and of a node's: an estimate, pure arithmetic.

Bytes of ZeRO's states are exact; what passes through the layers is rounded up. Where an assumption enters it is a
constant here, with its reason.
"""

from dataclasses import dataclass

from r2i.core.params import Cluster, Dapo, Train
from r2i.train.openrlhf.attention import FLASH
from r2i.train.openrlhf.checks import world
from r2i.train.openrlhf.model import ModelFacts

GIB = 2**30
PROMPT_TEXT = 512  # tokens around an image: the question, its options and the instruction take 100 to 300
BUCKETS = 2 * 5e8 * 2  # bytes: DeepSpeed's default bucket of 5e8 bf16 numbers, twice, to reduce and to gather
LIVE = 2 * 1e9  # bytes: the 1e9 weights that ZeRO 3 has gathered at most, by default
CONTEXT = 3 * GIB  # CUDA contexts and NCCL of both processes, the allocator's leftovers
SLEEPING = 2 * GIB  # of a vLLM that sleeps: its context and CUDA graphs
LOGIT_COPIES = 4.0  # fp32 [tokens, vocab] at the peak; measured with OpenRLHF's own functions, entropy included
LOGIT_COPIES_FLASH = 2.5  # with flash-attn's cross-entropy: logits, their gradient, and its bf16 copy; not measured
LAYER_HIDDEN, LAYER_INTERMEDIATE = 16, 5  # widths kept, in bf16, of the one layer that is being recomputed
LAYER_KEPT = 34  # hidden widths that each layer keeps without checkpointing (arXiv 2205.05198, selective: no scores)
SLEEP_RAM = 1.0  # vLLM at sleep level 1 keeps its weights in host RAM, once
WORKERS_RAM = 12 * GIB  # Ray's object store in use, and torch, vLLM and CUDA libraries of the processes of one GPU


@dataclass(frozen=True)
class Part:
    """`when`: rollout, train, step or all."""

    name: str
    bytes: float


@dataclass(frozen=True)
class Memory:
    """GPU parts at the fullest moment, and host RAM of one node. Bytes."""

    moment: str
    """rollout: vLLM generates; train: forward and backward of the longest sample; step: the optimizer's update."""
    parts: list[Part]
    host: list[Part]
    limit: float

    @property
    def total(self) -> float:
        return sum(part.bytes for part in self.parts)

    @property
    def host_total(self) -> float:
        return sum(part.bytes for part in self.host)

    @property
    def fits(self) -> bool:
        return self.total <= self.limit


def estimate_memory(train: Train, model: ModelFacts, attention: str) -> Memory:
    """Of a GPU that trains (with colocate it also generates), for the longest sample that params let through."""
    moments = {name: parts(train, model, attention) for name, parts in MOMENTS.items()}
    fullest = max(moments, key=lambda name: sum(part.bytes for part in moments[name]))
    limit = train.cluster.gpu_memory_gib * GIB
    return Memory(fullest, moments[fullest], _host(train, model), limit)


def longest_prompt(dapo: Dapo, model: ModelFacts) -> int:
    """Tokens: a row has one image, so max_pixels bounds it as max_prompt does."""
    if dapo.max_pixels is None:
        return dapo.max_prompt
    return min(dapo.max_prompt, dapo.max_pixels // model.image_token_side**2 + PROMPT_TEXT)


def kv_room(train: Train, model: ModelFacts) -> float:
    """Sequences of the longest kind whose keys and values one vLLM engine holds at once; below 1 it won't start."""
    cluster = train.cluster
    share = cluster.memory_share * cluster.gpu_memory_gib * GIB * cluster.tensor_parallel
    longest = longest_prompt(train.dapo, model) + train.dapo.max_response
    working = SLEEPING + longest_prompt(train.dapo, model) * _layer_bytes(model)  # one prefill
    return (share - 2 * model.parameters - working) / (longest * model.kv_bytes)


def _rollout(train: Train, model: ModelFacts, attention: str) -> list[Part]:
    cluster = train.cluster
    if not cluster.colocate:
        return []
    share = Part("vLLM: weights, keys and values", cluster.memory_share * cluster.gpu_memory_gib * GIB)
    states = [] if cluster.sleep else _states(train, model)
    return [share, _weights(train, model), *states, Part("CUDA contexts", CONTEXT)]


def _train(train: Train, model: ModelFacts, attention: str) -> list[Part]:
    return [*_resident(train, model), *_states(train, model), *_passing(train, model, attention)]


def _step(train: Train, model: ModelFacts, attention: str) -> list[Part]:
    extra = 0.0 if train.cluster.adam_offload else 4 * model.parameters / _shards(train.cluster, 1)
    return [*_resident(train, model), *_states(train, model), Part("gradients in fp32 for the update", extra)]


MOMENTS = {"rollout": _rollout, "train": _train, "step": _step}


def _resident(train: Train, model: ModelFacts) -> list[Part]:
    """On the GPU while DeepSpeed works."""
    cluster = train.cluster
    asleep = Part("vLLM asleep", SLEEPING) if cluster.sleep else None
    awake = Part("vLLM: weights, keys and values", cluster.memory_share * cluster.gpu_memory_gib * GIB)
    vllm = [asleep or awake] if cluster.colocate else []
    return [_weights(train, model), *vllm, Part("CUDA contexts", CONTEXT)]


def _weights(train: Train, model: ModelFacts) -> Part:
    """The actor's in bf16, which never leave the GPU, and the reference's where there is a KL term."""
    copies = 2 if train.dapo.kl > 0 else 1
    gathered = LIVE if train.cluster.zero_stage == 3 else 0.0
    return Part("weights", copies * 2 * model.parameters / _shards(train.cluster, 3) + gathered)


def _states(train: Train, model: ModelFacts) -> list[Part]:
    """Gradients, master weights, Adam's moments and buckets."""
    cluster, trained = train.cluster, _trained(train, model)
    width = _gradient_width(cluster)
    if cluster.adam_offload:
        return [Part("gradients on their way to the host", BUCKETS)]
    return [
        Part("gradients", width * trained / _shards(cluster, 2)),
        Part("master weights and Adam", 12 * trained / _shards(cluster, 1)),
        Part("buckets", BUCKETS),
    ]


def _passing(train: Train, model: ModelFacts, attention: str) -> list[Part]:
    """Of the forward and backward pass of micro_train longest samples."""
    dapo, samples = train.dapo, train.cluster.micro_train
    prompt = longest_prompt(dapo, model)
    tokens, patches = prompt + dapo.max_response, (prompt - PROMPT_TEXT) * model.merge**2
    copies = LOGIT_COPIES_FLASH if attention == FLASH else LOGIT_COPIES
    return [
        Part("activations", samples * tokens * _kept(train, model.hidden, model.layers, _layer_bytes(model))),
        Part("activations of the vision tower", samples * max(0, patches) * _vision_bytes(train, model)),
        Part("logits and their gradient", samples * tokens * model.vocab * 4 * copies),
    ]


def _kept(train: Train, hidden: int, layers: int, working: float) -> float:
    """Bytes a token: each layer's input, in bf16, and one layer at work; without checkpointing all layers' insides."""
    each = 1 if train.cluster.gradient_checkpointing else LAYER_KEPT
    return 2 * hidden * layers * each + working


def _vision_bytes(train: Train, model: ModelFacts) -> float:
    """Bytes a patch."""
    working = 2 * (LAYER_HIDDEN * model.vision_hidden + LAYER_INTERMEDIATE * model.vision_intermediate)
    if train.dapo.freeze_vision:
        return working
    return _kept(train, model.vision_hidden, model.vision_layers, working)


def _layer_bytes(model: ModelFacts) -> float:
    return 2 * (LAYER_HIDDEN * model.hidden + LAYER_INTERMEDIATE * model.intermediate)


def _trained(train: Train, model: ModelFacts) -> int:
    return model.text_parameters if train.dapo.freeze_vision else model.parameters


def _gradient_width(cluster: Cluster) -> int:
    """Bytes of an added-up gradient: flags.py asks for fp32 with ZeRO 3."""
    return 4 if cluster.zero_stage == 3 else 2


def _shards(cluster: Cluster, stage: int) -> int:
    """Among how many GPUs a state is divided that ZeRO divides from `stage` on."""
    return cluster.nodes * cluster.gpus_per_node if cluster.zero_stage >= stage else 1


def _host(train: Train, model: ModelFacts) -> list[Part]:
    """Of one node."""
    cluster, trained = train.cluster, _trained(train, model)
    gpus = cluster.gpus_per_node
    found = [Part("processes and Ray's object store", gpus * WORKERS_RAM)]
    if cluster.adam_offload:  # fp32 master weights, two moments and gradients, and a bf16 buffer
        found.append(Part("master weights, Adam and gradients", 18 * trained * gpus / world(train)))
    if cluster.colocate and cluster.sleep:
        share = gpus / cluster.tensor_parallel if cluster.tensor_parallel <= gpus else 1
        found.append(Part("vLLM's weights, asleep", SLEEP_RAM * 2 * model.parameters * share))
        if not cluster.adam_offload:
            width = 12 + _gradient_width(cluster)
            found.append(Part("DeepSpeed's states, asleep", width * trained * gpus / _shards(cluster, 1)))
    return found
