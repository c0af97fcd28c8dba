"""All checks of a profile, in one list."""

from r2i.core.params import Params
from r2i.doctor.check import Check, collected
from r2i.doctor.data import check_benchmarks, check_pools
from r2i.doctor.evaluation import check_evaluation
from r2i.doctor.machine import (
    check_commands,
    check_device,
    check_disk,
    check_gpu,
    check_memory_in_process,
    check_packages,
    check_readers,
    check_training,
    check_weights,
)
from r2i.doctor.rows import check_rows
from r2i.doctor.servers import check_keys, check_servers, servers_of
from r2i.doctor.stages import stages_to_run
from r2i.tools.cost import Scale, planned, read_funnel, read_metrics
from r2i.train.openrlhf.cost import ROWS_PER_IMAGE


def examine(params: Params, stages: set[str], files: bool, timeout_s: float) -> list[Check]:
    """All that these stages of the chosen profile need. `files`: read the files of pinned pools and benchmarks."""
    profile = params.chosen
    uses = [use for use in planned(params, Scale(1, 1, 1)) if use.stage in stages]
    servers = servers_of(uses)
    checks = [*check_keys(servers), *check_servers(servers, timeout_s), *check_packages(params)]
    checks += [*check_commands(uses), *check_gpu(params, uses, stages), *check_device(params, stages)]
    checks += [*check_readers(params, uses, stages), *check_weights(params, uses, stages)]
    if "sample" in stages:
        checks += check_pools(params, files)
    if "benchmark" in stages:
        checks += check_benchmarks(params, files)
    checks += check_evaluation(params, stages, own="benchmark" not in stages_to_run(params))
    trained = {stage for stage in stages if stage.startswith("train@")}
    runs = {stage.removeprefix("train@") for stage in trained}
    rows: int | None = None
    if trained:
        own = "overlay" not in stages_to_run(params)
        found, rows = check_rows(params, own)
        checks += found
    if "train@dapo" in trained and profile.train.engine == "openrlhf":
        checks += collected("train", check_training(profile.train, rows))
    if trained:
        in_process = sorted(runs - ({"dapo"} if profile.train.engine == "openrlhf" else set()))
        checks += check_memory_in_process(profile.train, in_process)
    images = profile.sample.images if profile.has("sample") else 0
    made = images * read_funnel(read_metrics(params), ROWS_PER_IMAGE).rows_per_image
    return [*checks, check_disk(params, made, runs)]
