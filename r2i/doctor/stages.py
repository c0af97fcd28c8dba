"""Which stages a profile has, which of them are still to be run, and whether these need anything but this machine."""

from r2i.core.params import CHAIN, Params
from r2i.tools.bench import is_hub_id
from r2i.tools.cost import Scale, planned, run_of


def stages_of(params: Params) -> set[str]:
    """Stages that the chosen profile has, as DVC names them."""
    profile = params.chosen
    stages = {name for name in (*CHAIN, "benchmark") if profile.has(name)}
    stages |= {f"train@{run}" for run in params.model_names.runs}
    return stages | {f"evaluate@{name}" for name in params.evaluated}


def stages_to_run(params: Params) -> set[str]:
    """Those that no run with these params has left: the others come from the cache, without a server or a GPU."""
    run = run_of(params)
    return stages_of(params) - set(run.own.stages if run else ())


def is_light(params: Params, stages: set[str]) -> bool:
    """Whether these stages need neither a server nor a GPU nor weights that may be missing."""
    profile = params.chosen
    uses = [use for use in planned(params, Scale(1, 1, 1)) if use.stage in stages]
    trains = profile.has("train") and any(stage.startswith("train") for stage in stages)
    return (
        all(use.endpoint.in_process and not is_hub_id(use.endpoint.model) for use in uses)
        and not (profile.has("crop") and profile.crop.runs_sam2 and "crop" in stages)
        and not (trains and (profile.train.engine == "openrlhf" or is_hub_id(profile.train.base)))
    )
