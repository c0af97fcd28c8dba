"""One run of r2i with the real OpenRLHF on a CPU, as a process that can be watched and killed."""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from r2i.endpoint.guard import descendants

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SHARED = Path("/dev/shm")
STEP = re.compile(r"Global step (\d+)")
END_S = 30.0  # in which what a killed run started has ended


def environment(gpus: int) -> dict[str, str]:
    """Of every process: OpenRLHF finds `gpus` GPUs, which sitecustomize.py answers for."""
    own = [HERE / "shim", ROOT, ROOT / "tests", ROOT / "tests" / "real_vllm", HERE]
    told = {
        "PYTHONPATH": os.pathsep.join(map(str, own)),
        "R2I_NO_GPU": "1",
        "DS_ACCELERATOR": "cpu",
        "RAY_OVERRIDE_RESOURCES": json.dumps({"CPU": 8, "GPU": gpus}),
        "VLLM_TARGET_DEVICE": "cpu",
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TORCH_EXTENSIONS_DIR": str(ROOT / ".r2i" / "openrlhf-extensions"),  # DeepSpeed compiles for minutes
        "RAY_TMPDIR": tempfile.gettempdir(),  # of sockets, whose paths are short
        "RAY_memory_monitor_refresh_ms": "0",
        "RAY_enable_metrics_collection": "0",
        "RAY_DASHBOARD_SUBPROCESS_MODULE_WAIT_READY_TIMEOUT": "180",
        "RAY_worker_niceness": "0",
        "HF_HUB_OFFLINE": "1",
        "R2I_LIVE": "1",
    }
    unwanted = ("MLFLOW_TRACKING_URI", "RAY_ADDRESS", "PYTHONDONTWRITEBYTECODE", "CUDA_VISIBLE_DEVICES")
    return {name: value for name, value in os.environ.items() if name not in unwanted} | told


def segments() -> set[str]:
    """Named shared memory that is there."""
    return {path.name for path in SHARED.iterdir()} if SHARED.is_dir() else set()


class Run:
    """`train_here.py` in `folder`, where it may have been before. `told`: its JSON; `cluster`: the process of a Ray
    cluster that trains for it."""

    def __init__(self, folder: Path, told: dict[str, Any], cluster: int | None = None, **more: str) -> None:
        self.folder, self.began, self.seconds, self.peak_mb = folder, time.monotonic(), 0.0, 0
        folder.mkdir(exist_ok=True)
        self.output = folder / "output.txt"
        with self.output.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "train_here.py"), str(folder), json.dumps(told)],
                env=environment(told["gpus"]) | more, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            )  # fmt: skip
        self.pids: set[int] = set()
        self.cluster = cluster
        threading.Thread(target=self._watch, daemon=True).start()

    def wait(self, within_s: float = 1500) -> None:
        """Its end; it must be a good one. What takes longer is killed."""
        try:
            code = self.process.wait(within_s)
        finally:
            self._kill()
        assert code == 0, self.output.read_text()[-4000:]

    def kill_after(self, step: int, within_s: float = 1200) -> None:
        """`kill -9` of r2i's own process once OpenRLHF has said `step`."""
        end = time.monotonic() + within_s
        try:
            while step not in self.steps_said():
                assert self.process.poll() is None, self.output.read_text()[-4000:]
                assert time.monotonic() < end, f"no step {step}: {self.steps_said()}"
                time.sleep(0.2)
        finally:
            self._kill()

    def _kill(self) -> None:
        """r2i's own process, where it still runs; what it started ends with it."""
        self.process.kill()
        self.process.wait()
        self.seconds = time.monotonic() - self.began

    def steps_said(self) -> list[int]:
        """Of OpenRLHF's log, which goes when the run is done."""
        logs = self.folder.glob(".r2i/train/*/train.log")
        return [int(step) for log in logs for step in STEP.findall(log.read_text(errors="replace"))]

    def left_alive(self) -> set[int]:
        """Processes of its that are alive, after they had END_S to end."""
        end = time.monotonic() + END_S
        while (left := {pid for pid in self.pids if _pss(pid) is not None}) and time.monotonic() < end:
            time.sleep(0.5)
        return left

    @cached_property
    def summary(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "summary.json").read_text()))

    @cached_property
    def curve(self) -> list[dict[str, float]]:
        return list(json.loads((self.folder / "curve.json").read_text()))

    def figures(self) -> dict[str, float]:
        """Of bench/results/openrlhf_cpu.json."""
        return {
            "steps": self.summary["steps"],
            "seconds": round(self.seconds),
            "peak_mb": self.peak_mb,
            "vllm_kl_max": max(abs(line["vllm_kl"]) for line in self.curve),
        }

    def _watch(self) -> None:
        """Who belongs to it, and the most memory (PSS: shared pages count once) that they held together."""
        while self.process.poll() is None:
            found = {self.process.pid, *descendants(self.process.pid)}
            self.pids |= found
            others = descendants(self.cluster) if self.cluster else set()
            self.peak_mb = max(self.peak_mb, sum(_pss(pid) or 0 for pid in found | others) // 1024)
            time.sleep(2)


def _pss(pid: int) -> int | None:
    """KiB; None where there is no such process any more."""
    with suppress(OSError, ValueError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), None)
    return None
