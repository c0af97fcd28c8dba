"""One DAPO run through OpenRLHF, from train rows to a Hugging Face folder.

Prepare, check, launch, follow, collect. What a killed run needs to resume lies in `.r2i/train/<fingerprint>/`, which is
removed when the run is done.
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2i.core.curve import CurveSink, Line, combine_sinks, last_mean, write_curve
from r2i.core.disk import new_file, new_folder
from r2i.core.errors import R2IError
from r2i.core.fingerprint import library_versions
from r2i.core.params import Train
from r2i.core.records import TRAIN
from r2i.core.servers import cluster_address
from r2i.core.tables import ok_rows, read_table
from r2i.train.held_out import KEY, validation_facts
from r2i.train.live import live_run
from r2i.train.openrlhf.checkpoints import refuse_other_layout, refuse_small_disk, usable
from r2i.train.openrlhf.executor import read_tallies
from r2i.train.openrlhf.flags import engines, notes, openrlhf_flags
from r2i.train.openrlhf.scalars import Scalars
from r2i.train.openrlhf.validated import BEST, folder_of, is_best, read_measured, steps_in
from r2i.train.openrlhf.workspace import ENGINES, Files, fingerprint_of, open_workspace, write_settings
from r2i.train.watch import Watcher, warnings

if TYPE_CHECKING:
    from r2i.train.openrlhf.environment import Environment
    from r2i.train.openrlhf.launch import Training

COLUMNS = ["row_id", "image_id", "prompt", "question", "options", "answer", "label", "view", "status", "reason"]
DONE = "trained"  # in the workspace: OpenRLHF has ended well, its result is whole


def train_openrlhf(
    train: Train, style: str, table: Path, seed: int, log: Path, out: Path, sink: CurveSink
) -> dict[str, Any]:
    """Train `train.base` on the rows of `table` (records.TRAIN) and save it to `out`, model and processor.

    `sink` and MLflow get a line for each rollout batch while it trains. `out` and the curve in `log` appear only when
    the run is complete; a killed run resumes from its last checkpoint. Returns a summary. `style` is not used: the rows
    hold their whole prompts. Raises R2IError where the GPU packages or GPUs are missing, where params don't fit the
    engine, and, with the cause from its log, where OpenRLHF fails.
    """
    refuse_missing_packages()
    fingerprint = fingerprint_of(train, table, seed)
    with (
        open_workspace(fingerprint) as files,
        live_run("train@dapo", train.model_dump(mode="json"), fingerprint) as live,
    ):
        sink = combine_sinks(sink, live, Watcher(train.dapo.watch, live.warn))
        view = train_in(files, train, table, seed, fingerprint, sink)
        lines = Scalars(files.tensorboard, train.dapo.group_size).read()
        measured = last_measured(files.validated) if train.validation else {}
        collect(train.base, chosen_weights(files, measured, train.choose), out)
        if measured:
            lines[-1] = {**lines[-1], KEY: round(measured[max(measured)], 6)}
        write_curve(log, lines)
        live.tag_curve(log)
        rollouts = account_for(read_tallies(files.rollout_counts), lines)
        remove_folder(files.root)
    validation = validation_of(view, measured, train.choose)
    counts = {name: count for name, count in view.items() if not name.startswith("held")}
    return {**counts, **summary_of(train, lines), **validation, "rollouts": rollouts}


def refuse_missing_packages() -> None:
    missing = [name for name in ("openrlhf", "vllm", "deepspeed", "ray", "tensorboard") if not find_spec(name)]
    if missing:
        raise R2IError(
            f"train.engine openrlhf needs {', '.join(missing)}, not installed here",
            "on a machine with GPUs: `uv pip install -e '.[gpu]' --override overrides.txt`; or use engine: trl",
        )


def prepare(train: Train, table: Path, seed: int, files: Files) -> dict[str, int]:
    """Write what OpenRLHF reads: the student, the prompts, the agent's settings. Counts for the summary, which
    `files.facts` keeps: what a process that still trains has read stays as it is (`prepared`)."""
    from dataclasses import asdict

    from transformers import AutoProcessor

    from r2i.train.openrlhf.student import prepare_student
    from r2i.train.openrlhf.view import write_view
    from r2i.train.tokens import token_counter

    rows = ok_rows(read_table(table, TRAIN, "overlay", columns=COLUMNS), table, "overlay")
    student = prepare_student(train.base, train.dapo, files.student)
    count = token_counter(AutoProcessor.from_pretrained(str(student)))
    held = (train.validation, files.held)
    facts = {"rows": len(rows), **asdict(write_view(table, rows, train.dapo, seed, count, files.prompts, held))}
    write_settings(files, train.dapo, engines(train.cluster), seed, train.choose)
    with new_file(files.facts) as part:
        part.write_text(json.dumps(facts), encoding="utf-8")
    return facts


def prepared(files: Files) -> dict[str, int]:
    """The counts of what a training in `files` has read. Raises R2IError where an older r2i prepared it."""
    try:
        found: dict[str, int] = json.loads(files.facts.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise R2IError(
            f"a training that was left behind uses {files.root}, and what it reads is not known ({error})",
            "stop its job (`ray job list`, `ray job stop ID`) and run again: its last checkpoint is taken up",
        ) from error
    return found


def train_in(files: Files, train: Train, table: Path, seed: int, fingerprint: str, sink: CurveSink) -> dict[str, int]:
    """Prepare, check, launch and follow OpenRLHF; when this returns, `files.result` is whole. Where an earlier
    process left a training behind, that one is followed, and nothing that it reads is touched. Counts of `prepare`."""
    from r2i.train.openrlhf.attention import flash_attn_installed, shim_path
    from r2i.train.openrlhf.environment import training_environment
    from r2i.train.openrlhf.follow import AddMaskedShare, follow
    from r2i.train.openrlhf.launch import left_behind

    if (files.root / DONE).exists():
        return prepared(files) if files.facts.exists() else prepare(train, table, seed, files)
    cluster, address = train.cluster, cluster_address()
    shim = None if flash_attn_installed() else shim_path()
    environment = training_environment(train, files, shim, os.environ)
    training = left_behind(environment, files.log, address, fingerprint, lambda: is_whole(files.result))
    view = prepared(files) if training else prepare(train, table, seed, files)
    training = training or start(files, train, view, seed, fingerprint, environment)
    scalars = Scalars(files.tensorboard, train.dapo.group_size)
    steps = view["prompts"] // train.dapo.rollout_prompts
    sink = AddMaskedShare(sink, files.rollout_counts, files.root / "masked.json")
    lines = follow(training, scalars, steps, sink, files.log, cluster.start_timeout_s, environment.hide)
    refuse_untrained(lines, train, view)
    refuse_half_a_result(files)
    (files.root / DONE).touch()
    return view


def start(
    files: Files, train: Train, view: dict[str, int], seed: int, fingerprint: str, environment: "Environment"
) -> "Training":
    """Check and launch OpenRLHF on what a killed run left. Raises R2IError where it can't run."""
    from r2i.train.openrlhf.attention import choose_attention
    from r2i.train.openrlhf.launch import launch

    refuse_what_cannot_run(files, train, view)
    if usable(files, train.cluster, _note):
        _note("training goes on from its last checkpoint")
    for name in environment.unwanted:
        _note(f"{name} is not passed on to OpenRLHF: vLLM's sleep can't do with it")
    flags = openrlhf_flags(train, seed, files, choose_attention(train.cluster))
    shutil.rmtree(files.result, ignore_errors=True)
    _note(f"OpenRLHF starts, its log is {files.log}")
    return launch(flags, environment, files.log, cluster_address(), fingerprint)


def refuse_what_cannot_run(files: Files, train: Train, view: dict[str, int]) -> None:
    """Raises R2IError, with all there is to say about params, before anything is started."""
    from r2i.train.openrlhf.checks import violations
    from r2i.train.openrlhf.launch import gpus_there, refuse_too_few_gpus
    from r2i.train.openrlhf.model import read_model_facts

    model = read_model_facts(str(files.student))
    usable_rows = view["rows"] - view["too_long"] - view["unfit"] - view["held"]
    if found := violations(train, model, view["prompts"] if train.dapo.max_steps > 0 else usable_rows):
        raise R2IError("OpenRLHF can't run with these params:\n" + "\n".join(f"    {text}" for text in found))
    address = cluster_address()
    refuse_too_few_gpus(gpus_wanted(train), gpus_there(address), address)
    refuse_other_layout(files, train.cluster)
    if model:
        refuse_small_disk(files, model.parameters, train.keep, train.choose == "best")


def gpus_wanted(train: Train) -> int:
    """GPUs that train and, where they don't take turns, those of the engines."""
    cluster = train.cluster
    training = cluster.nodes * cluster.gpus_per_node
    return training if cluster.colocate else training + engines(cluster) * cluster.tensor_parallel


def refuse_untrained(lines: list[Line], train: Train, view: dict[str, int]) -> None:
    """Raises R2IError where dynamic sampling left no optimizer step: the result would be the base."""
    if not lines:
        raise R2IError(
            f"of {view['prompts']} prompts fewer than {train.dapo.train_prompts} had rollouts that differ in their "
            "reward (dapo.dynamic_range), and nothing was trained",
            "bring more rows, harder or easier ones, or lower dapo.train_prompts",
        )


def is_whole(result: Path) -> bool:
    """Whether a training that ended well has left its model."""
    weights = [path for path in result.glob("*.safetensors") if path.stat().st_size]
    return bool(weights) and (result / "config.json").is_file()


def refuse_half_a_result(files: Files) -> None:
    if not is_whole(files.result):
        raise R2IError(
            f"OpenRLHF ended without an error, and left no whole model in {files.result}",
            f"run again: the last step is taken up from its checkpoint; the log is {files.log}",
        )


def last_measured(validated: Path) -> dict[int, float]:
    """Accuracy on held-out rows by step, up to the end of a run."""
    return read_measured(validated, max(steps_in(validated), default=0))


def chosen_weights(files: Files, measured: Mapping[int, float], choose: str) -> Path:
    """The folder with the model that a run chooses: the last one's, or the best one's that the trainer kept."""
    last = max(measured, default=0)
    if choose == "last" or is_best(measured, last):
        return files.result
    return folder_of(files.validated, last) / BEST


def validation_of(view: Mapping[str, int], measured: Mapping[int, float], choose: str) -> dict[str, Any]:
    """For metrics, as of engine trl; {} without held-out rows."""
    if not measured:
        return {}
    steps = sorted((step, value) for step, value in measured.items() if step)
    return validation_facts(view["held"], view["held_images"], measured.get(0), steps, choose)


def collect(base: str, result: Path, out: Path) -> None:
    """Copy the `result` to `out`, whole or not at all, with the base's processor: both look at images alike in
    `evaluate`. Raises DiskError."""
    from r2i.train.openrlhf.student import restore_config, restore_processor

    with new_folder(out) as part:
        shutil.copytree(result, part, dirs_exist_ok=True)
        restore_processor(base, part)
        restore_config(base, part)


def remove_folder(folder: Path) -> None:
    """At once: what a kill left of it would pass for a whole one."""
    over = folder.with_suffix(".over")
    shutil.rmtree(over, ignore_errors=True)
    folder.rename(over)
    shutil.rmtree(over)


def account_for(tallies: Mapping[str, int], lines: list[Line]) -> dict[str, int]:
    """The executors' counts with what became of all `rollouts`: `filtered` by dynamic sampling, `trained` on,
    `left_over` in a last batch that filled no whole step, and `lost`, the rest: made, and then made anew, since the
    run was killed before a checkpoint held what they taught."""
    counts = {name: tallies.get(name, 0) for name in ("rollouts", "filtered", "left_over")}
    trained = round(sum(line.get("samples", 0) for line in lines))
    lost = counts["rollouts"] - counts["filtered"] - counts["left_over"] - trained
    return {**tallies, **counts, "trained": trained, "lost": max(0, lost)}


def summary_of(train: Train, lines: list[Line]) -> dict[str, Any]:
    """The summary for metrics: the keys of engine trl, and what is particular to this engine."""
    dapo, cluster = train.dapo, train.cluster
    per_step = dapo.train_prompts * dapo.group_size
    return {
        "steps": round(sum(line.get("samples", dapo.rollout_prompts * dapo.group_size) for line in lines) / per_step),
        "rollout_batches": len(lines),
        "dual_clip": dapo.dual_clip or "none",
        "dynamic_sampling": "groups replaced" if dapo.dynamic_sampling else "off",
        "notes": notes(train),
        "order": "of ids and the seed, then shuffled once more by OpenRLHF's data loader (its seed is fixed)",
        "versions": library_versions(ENGINES),
        "cluster": cluster.model_dump(mode="json", exclude={"start_timeout_s", "flags"}),
        "warnings": [str(warning) for warning in warnings(lines, dapo.watch)],
        "last_10_steps": last_mean(lines, ("accuracy", "format", "response_length", "kept_groups")),
    }


def _note(text: str) -> None:
    print(f"train dapo: {text}", file=sys.stderr, flush=True)
