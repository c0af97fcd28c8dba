"""`make gpu-check`: 20 steps of DAPO with the mini checkpoint through OpenRLHF, on one GPU, for real.

Ray, vLLM and DeepSpeed start, weights go from one to the other, the reward rises, the result loads in process and
answers, and the curve's lines reach MLflow while it trains. At most ten minutes. Needs the GPU extra, one GPU, and
the train rows of `make repro`. What it did stays in .r2i/gpu-check, the numbers in bench/results/gpu_check.json.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "real_vllm")]

from bench.result import note_code, write_result  # noqa: E402 - needs the path
from r2i.core import paths  # noqa: E402
from r2i.core.curve import Line, read_curve  # noqa: E402
from r2i.core.errors import R2IError  # noqa: E402
from r2i.core.metrics import rounded  # noqa: E402
from r2i.core.params import Train, load_params  # noqa: E402
from r2i.core.records import TRAIN  # noqa: E402
from r2i.core.stage import explained  # noqa: E402
from r2i.core.tables import ok_rows, read_table  # noqa: E402

RESULT = ROOT / "bench" / "results" / "gpu_check.json"
STEPS, WINDOW = 20, 5
LIMIT_S = 600.0
ANSWERS = 16  # rows that the result is asked about


def main() -> None:
    os.chdir(ROOT)
    refuse_where_it_cannot_run()
    code = note_code("r2i.train.openrlhf.run", profiles=["mini"])
    folder = ROOT / ".r2i" / "gpu-check"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ |= {"DVC_ROOT": str(folder)}  # a state of its own: workspace, MLflow database
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    from wide_heads import widen_heads

    train = settings(str(widen_heads(paths.MODELS / "mini", folder / "mini")))
    began = time.monotonic()
    summary, curve, times = train_it(train, folder)
    result = {
        "seconds": time.monotonic() - began,
        "seconds_to_first_step": times[0] - began,
        **facts_of(curve),
        **answers_of(folder / "distilled"),
        "mlflow_points": points_in_mlflow(folder),
        "summary": summary,
        "device": device(),
    }
    faults = faults_of(result)
    write_result(RESULT, rounded({**result, "faults": faults}, digits=3), code)
    print(json.dumps(rounded(result, digits=3), indent=1, sort_keys=True))
    if faults:
        raise R2IError("; ".join(faults), f"see {folder} and {RESULT}")


def refuse_where_it_cannot_run() -> None:
    """Raises R2IError where packages, a GPU or rows are missing."""
    from r2i.train.openrlhf.launch import gpus_there
    from r2i.train.openrlhf.run import refuse_missing_packages

    refuse_missing_packages()
    if not gpus_there(None):
        raise R2IError("no GPU here", "run `make gpu-check` on a machine with an NVIDIA GPU")
    if not paths.TRAIN.is_dir():
        raise R2IError(f"no train rows in {paths.TRAIN}", "run `make repro` first, or `dvc pull`")


def settings(base: str) -> Train:
    """The mini profile's training on one GPU. Without dynamic sampling: the reward of all groups shows a rise, that
    of the groups which pass the filter stays where the filter lets through."""
    mini = load_params().profiles["mini"].train.model_dump(exclude_none=True)
    dapo = {"max_steps": STEPS, "lr": 2e-4, "dynamic_sampling": False}
    cluster = {
        "nodes": 1,
        "gpus_per_node": 1,
        "memory_share": 0.3,
        "enforce_eager": True,
        "attention": "sdpa",
        "micro_train": 32,
        "micro_rollout": 32,
        "start_timeout_s": LIMIT_S,
    }
    changes = {"engine": "openrlhf", "base": base, "save_every": 10, "cluster": cluster}
    return Train.model_validate({**mini, **changes, "dapo": {**mini["dapo"], **dapo}})


def train_it(train: Train, folder: Path) -> tuple[dict[str, Any], Sequence[Line], list[float]]:
    """The summary, the curve, and when each line came."""
    from r2i.train.openrlhf.run import train_openrlhf

    times: list[float] = []

    def sink(step: int, steps: int, line: Line) -> None:
        times.append(time.monotonic())
        print(f"step {step}/{steps} reward {line.get('reward', float('nan')):.3f}", file=sys.stderr, flush=True)

    log, out = folder / "dapo.json", folder / "distilled"
    summary = train_openrlhf(train, "mini", paths.TRAIN, 0, log, out, sink)
    return summary, read_curve(log), times


def facts_of(curve: Sequence[Line]) -> dict[str, Any]:
    """Means over the first and the last WINDOW steps, and what of a step takes how long."""
    first, last = curve[:WINDOW], curve[-WINDOW:]
    facts: dict[str, Any] = {"steps": len(curve)}
    for key in ("reward", "accuracy", "format", "seconds_rollout", "seconds_train", "seconds_step"):
        for name, lines in (("first", first), ("last", last)):
            if values := [line[key] for line in lines if key in line]:
                facts[f"{key}_{name}"] = fmean(values)
    return facts


def answers_of(model: Path) -> dict[str, Any]:
    """The result, loaded in process: share of replies to train rows with a closed answer span."""
    from r2i.core.params import Endpoint, Sampling
    from r2i.endpoint import Picture, Request, connect
    from r2i.grading import FORMAT
    from r2i.grading.strict import grade_strictly

    rows = ok_rows(read_table(paths.TRAIN, TRAIN, "overlay"), paths.TRAIN, "overlay")[:ANSWERS]
    sampling = Sampling(temperature=0.0, max_tokens=8)
    requests = [Request(row["prompt"], (Picture.of(row["image"]),), sampling, seed=0) for row in rows]
    with connect(Endpoint(kind="local", model=str(model))) as endpoint:
        replies = endpoint.complete(requests)
    verdicts = [
        grade_strictly(reply.text, row["label"], row["options"]) for (reply,), row in zip(replies, rows, strict=True)
    ]
    return {"answers": len(verdicts), "closed_share": fmean(float(verdict.rule != FORMAT) for verdict in verdicts)}


def points_in_mlflow(folder: Path) -> int:
    """Points of `reward` in the run that was written while it trained."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/.r2i/mlflow.db")
    experiment = client.get_experiment_by_name("r2i")
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    return sum(len(client.get_metric_history(run.info.run_id, "reward")) for run in runs)


def faults_of(result: Mapping[str, Any]) -> list[str]:
    """What the check was not passed by; empty where it was."""
    rise = result.get("reward_last", 0.0) - result.get("reward_first", 0.0)
    checks = {
        f"{result['steps']} steps instead of {STEPS}": result["steps"] == STEPS,
        f"the reward does not rise ({rise:+.3f})": rise > 0,
        f"the result closes {result['closed_share']:.0%} of its answers": result["closed_share"] > 0.5,
        f"MLflow has {result['mlflow_points']} of {STEPS} points": result["mlflow_points"] == STEPS,
        f"it took {result['seconds']:.0f} s, more than {LIMIT_S:.0f}": result["seconds"] <= LIMIT_S,
    }
    return [fault for fault, passed in checks.items() if not passed]


def device() -> str:
    import torch

    return str(torch.cuda.get_device_name(0))


if __name__ == "__main__":
    with explained():
        main()
