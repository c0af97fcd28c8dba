"""What this machine has for a profile: GPUs, packages, weights, disk."""

import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from r2i.core import paths
from r2i.core.disk import free_mib
from r2i.core.errors import R2IError
from r2i.core.params import Crop, Endpoint, Params, Train
from r2i.core.servers import CLUSTER, cluster_address, variable
from r2i.crop.segmenter import find_files
from r2i.doctor.check import Check, passed, tried
from r2i.ocr.engines import load_recogniser
from r2i.tools.bench import is_hub_id
from r2i.tools.cost import Use, server_starts
from r2i.train.estimate import gib_in_process
from r2i.train.openrlhf.attention import choose_attention
from r2i.train.openrlhf.checkpoints import refuse_small_disk
from r2i.train.openrlhf.checks import violations
from r2i.train.openrlhf.launch import gpus_there, refuse_too_few_gpus
from r2i.train.openrlhf.memory import GIB, estimate_memory, kv_room
from r2i.train.openrlhf.model import ModelFacts, read_model_facts
from r2i.train.openrlhf.run import gpus_wanted, refuse_missing_packages
from r2i.train.openrlhf.workspace import Files

LEAST_MIB = 1024  # free, below which no run is begun
PICTURE_BYTES = 1.5e6  # of a photograph's JPEG, in a table
TWICE = 2  # what a stage writes lies in DVC's cache too, where the disk can't share it
CHECKPOINT_BYTES = 12  # of a parameter in process: float32 weight and Adam's two moments
MODEL_BYTES = 2  # of a parameter, as a trained model is stored
OFFLINE = "HF_HUB_OFFLINE"
MEMORY_FLAG, MEMORY_SHARE = "--gpu-memory-utilization", 0.92  # of vLLM, and its default


def check_training(train: Train, rows: int | None) -> Iterator[Check]:
    """Of engine openrlhf. `rows`: that can be trained on, where they are known. Raises R2IError."""
    yield passed("train: packages", refuse_missing_packages, "OpenRLHF, vLLM, DeepSpeed, Ray, TensorBoard")
    address, wanted = cluster_address(), gpus_wanted(train)
    there = gpus_there(address)
    if there is None:
        said = f"the Ray cluster at {address} can't be asked"
        yield Check("train: GPUs", "not ok", said, f"see ${variable(CLUSTER)} and servers.yaml")
    else:
        found = f"{wanted} wanted, {there} at {address or 'this machine'}"
        yield passed("train: GPUs", lambda: refuse_too_few_gpus(wanted, there, address), found)
    model = read_model_facts(train.base)
    for fault in violations(train, model, rows):
        yield Check("train: params", "not ok", fault, "see docs/training.md")
    if model is not None:
        yield from _check_sizes(train, model)


def _check_sizes(train: Train, model: ModelFacts) -> Iterator[Check]:
    memory = estimate_memory(train, model, choose_attention(train.cluster))
    fits = memory.fits and kv_room(train, model) >= 1
    said = f"{memory.total / GIB:.0f} of {memory.limit / GIB:.0f} GiB of a GPU, computed"
    yield Check("train: memory", "ok" if fits else "not ok", said, "" if fits else "see `r2i estimate`")
    root, keep = paths.state_folder(), train.keep
    if root.is_dir():
        found = f"{keep} checkpoints fit"
        yield passed("train: disk", lambda: refuse_small_disk(Files.under(root), model.parameters, keep), found)


def _facts_of(base: str) -> ModelFacts | None:
    """None where nothing is known of it; check_weights says so where it has to be there."""
    with suppress(R2IError):
        return read_model_facts(base)
    return None


def check_memory_in_process(train: Train, runs: Iterable[str]) -> Iterator[Check]:
    """Of trainings in process, where there is a GPU or OpenRLHF is to have one."""
    import torch

    there = torch.cuda.is_available()
    model = _facts_of(train.base) if there or train.engine == "openrlhf" else None
    if model is None:
        return
    limit = torch.cuda.get_device_properties(0).total_memory / GIB if there else train.cluster.gpu_memory_gib
    for run in runs:
        needed = gib_in_process(run, model)
        said = f"{needed:.0f} of {limit:.0f} GiB of {'this' if there else 'a'} GPU, computed"
        remedy = "" if needed < limit else f"take `{run}` out of `runs`, or train it on a larger card"
        yield Check(f"train@{run}: memory", "not ok" if remedy else "ok", said, remedy)


def check_gpu(params: Params, uses: Iterable[Use], stages: set[str]) -> Iterator[Check]:
    """Whether there is one, for what is slow without: SAM 2, models in process, a vLLM that is started here."""
    profile, users = params.chosen, list[str]()
    if "crop" in stages and profile.has("crop") and profile.crop.runs_sam2:
        users.append("crop (SAM 2)")
    for use in uses:
        is_large = use.endpoint.kind == "vllm" or (use.endpoint.kind == "local" and is_hub_id(use.endpoint.model))
        if is_large and use.stage not in users:
            users.append(use.stage)
    if profile.has("train") and is_hub_id(profile.train.base):
        users += [f"train@{run}" for run in profile.runs() if run != "dapo" or profile.train.engine == "trl"]
    if not users:
        return
    import torch

    names = [torch.cuda.get_device_name(at) for at in range(torch.cuda.device_count())]
    ray = f"; the cluster at {os.environ['RAY_ADDRESS']} may have some" if "RAY_ADDRESS" in os.environ else ""
    if names:
        yield Check("GPU", "ok", f"{', '.join(names)}; for {', '.join(users)}")
    else:
        remedy = "run it where there is one: on a CPU it takes days"
        yield Check("GPU", "note", f"none here, for {', '.join(users)}{ray}", remedy)


def check_packages(params: Params) -> Iterator[Check]:
    if params.chosen.execution.executor != "ray":
        return
    if find_spec("ray") is None:
        yield Check("execution", "not ok", "Ray is not installed here", "`make setup`, or execution.executor: local")
    else:
        yield Check("execution", "ok", f"Ray, of {os.environ.get('RAY_ADDRESS', 'this machine')}")


def check_commands(uses: Iterable[Use]) -> Iterator[Check]:
    """The programs that start servers here."""
    from r2i.endpoint.launch import server_environment

    ends = {use.endpoint.model_dump_json(): use.endpoint for use in uses if use.endpoint.kind == "vllm"}
    for end in ends.values():
        where = server_environment(end).get("PATH")
        there = bool(end.command) and shutil.which(end.command[0], path=where) is not None
        said = f"`{' '.join(end.command)}` is " + ("here" if there else "no program here")
        remedy = "install the GPU packages (docs/training.md), or name another program in `command`"
        yield Check(f"vLLM of {end.model}", "ok" if there else "not ok", said, "" if there else remedy)


def check_readers(params: Params, uses: Iterable[Use], stages: set[str]) -> Iterator[Check]:
    """Readers of text: their packages and weights, here or missing."""
    wanted = {use.endpoint.model for use in uses if use.endpoint.kind == "ocr"}
    if "crop" in stages and params.chosen.has("crop") and params.chosen.crop.method == "text":
        wanted.add("rapidocr")
    for name in sorted(wanted):
        yield passed(f"reader {name}", partial(load_recogniser, name), "its package and weights are here")


def check_device(params: Params, stages: set[str]) -> Iterator[Check]:
    """Whether the servers that r2i starts find room, where this machine has one GPU or they share a device."""
    import torch

    sharing = params.chosen.execution.share_device
    starts = {stage: ends for stage, ends in server_starts(params).items() if stage in stages}
    shares = {stage: [_memory_share(end) for end in ends] for stage, ends in starts.items()}
    if not starts or not (sharing or torch.cuda.device_count() == 1):
        return
    trained = [stage for stage in starts if stage.startswith("train@")]
    in_turn = {stage for stage in shares if sharing or stage.startswith("evaluate@")}  # the judge comes last
    needed = {stage: (max if stage in in_turn else sum)(each) for stage, each in shares.items()}
    full = [stage for stage in needed if stage not in in_turn and needed[stage] > 1]
    most = max(needed.values())
    turns = "one at a time, " if sharing else ""
    said = f"servers of r2i in {', '.join(starts)}: {turns}at most {most:.0%} of it"
    if trained:
        remedy = "serve the judge elsewhere (`kind: openai`), or take it out of train.dapo"
        yield Check("device", "not ok", f"{said}; {trained[0]} starts one while it trains", remedy)
    elif full:
        yield Check("device", "not ok", f"{said}, in {', '.join(full)}", "set execution.share_device: true")
    elif torch.cuda.device_count() and (free := _free_share()) < most:
        yield Check("device", "not ok", f"{said}, and {free:.0%} is free", "end what holds its memory (`nvidia-smi`)")
    else:
        yield Check("device", "ok", said)


def _free_share() -> float:
    """Of the first GPU's memory, what no process holds."""
    import torch

    free, total = torch.cuda.mem_get_info(0)
    return float(free / total)


def _memory_share(end: Endpoint) -> float:
    """Of a GPU, what a vLLM takes."""
    told = re.findall(rf"{MEMORY_FLAG}[= ]([0-9.]+)", " ".join(end.flags))
    return float(told[-1]) if told else MEMORY_SHARE


def check_weights(params: Params, uses: Iterable[Use], stages: set[str]) -> Iterator[Check]:
    """SAM 2, the student, models in process: here, to be fetched, or missing."""
    profile = params.chosen
    if "crop" in stages and profile.has("crop") and profile.crop.runs_sam2:
        yield _segmenter(profile.crop)
    made = {Path(run.folder) for run in params.runs.values()}
    models = [use.endpoint.model for use in uses if use.endpoint.kind in ("local", "vllm")]
    if profile.has("train") and any(stage.startswith("train") for stage in stages):
        models.append(profile.train.base)
    for model in dict.fromkeys(model for model in models if Path(model) not in made):
        yield _model(model)


def _segmenter(crop: Crop) -> Check:
    what = f"SAM 2 {crop.sam2_model}"
    try:
        from sam2.build_sam import HF_MODEL_ID_TO_FILENAMES
    except ImportError as error:
        return Check(what, "not ok", f"the package sam2 can't be imported ({error})", "run `make setup`")
    known = HF_MODEL_ID_TO_FILENAMES.get(crop.sam2_model)
    if known and not Path(crop.sam2_model).is_file():
        return _of_hub(what, crop.sam2_model, [known[1]])
    return tried(what, lambda: Check(what, "ok", str(find_files(crop)[1])))


def _model(model: str) -> Check:
    what, path = f"weights {model}", Path(model)
    if not is_hub_id(model):
        if (path / "config.json").is_file() and any(path.glob("*.safetensors")):
            return Check(what, "ok", "here")
        remedy = "`git checkout` or `dvc pull` it, run the stage that writes it, or give a hub id"
        return Check(what, "not ok", "no whole model is there", remedy)
    return _of_hub(what, model, ["config.json"])


def _of_hub(what: str, hub_id: str, files: list[str]) -> Check:
    from huggingface_hub import try_to_load_from_cache

    places = [try_to_load_from_cache(hub_id, name) for name in files]
    if all(isinstance(place, str) for place in places):
        folder = Path(str(places[0])).parent
        if files != ["config.json"] or any(folder.glob("*.safetensors")):
            return Check(what, "ok", "in the hub's cache")
    if os.environ.get(OFFLINE, "0") not in ("", "0"):
        remedy = f"`HF_HUB_OFFLINE=0 hf download {hub_id}` where there is a network, or unset {OFFLINE} (make sets it)"
        return Check(what, "not ok", f"not in the hub's cache, and {OFFLINE} forbids to fetch it", remedy)
    return Check(what, "note", "not in the hub's cache: it is fetched", f"or before: `hf download {hub_id}`")


def models_mib(train: Train, runs: Collection[str]) -> float:
    """Of the models that `runs` make, and of the checkpoints of one in process (OpenRLHF's: check_training); 0 where
    nothing is known of the base."""
    model = _facts_of(train.base)
    in_process = any(run != "dapo" or train.engine == "trl" for run in runs)
    bytes_each = TWICE * MODEL_BYTES * len(runs) + CHECKPOINT_BYTES * (train.keep + 1) * in_process
    return bytes_each * model.parameters / 2**20 if model else 0.0


def check_disk(params: Params, rows: float, runs: Collection[str] = ()) -> Check:
    """`rows`: train rows to be made; `runs`: to be trained."""
    profile, pictures = params.chosen, 0.0
    if profile.has("sample") and any(pool.kind != "rendered" for pool in profile.sample.pools):
        pictures = rows + (profile.sample.images if profile.sample.embed else 0)
    least = LEAST_MIB + (models_mib(profile.train, runs) if runs else 0)
    needed = least + TWICE * pictures * PICTURE_BYTES / 2**20
    free = free_mib(Path())
    if free is None:
        return Check("disk", "note", "how much is free can't be said")
    said = f"{free / 1024:,.0f} GiB free; pictures and models take about {needed / 1024:,.0f}"
    if free < least:
        return Check("disk", "not ok", said, "make space")
    return Check(
        "disk", "ok" if free >= needed else "note", said, "" if free >= needed else "make space, or sample less"
    )
