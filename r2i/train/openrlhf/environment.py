"""What OpenRLHF's processes find in their environment."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import r2i
from r2i.core.params import Train
from r2i.endpoint.quote import hide_key
from r2i.train.openrlhf.workspace import SETTINGS_VARIABLE, Files

UNWANTED = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")  # vLLM's sleep can't do with expandable segments
SLOW = ("PYTHONDONTWRITEBYTECODE",)  # each of some ten processes would compile thousands of modules anew
BRISK = {"RAY_worker_niceness": "0"}  # Ray's own 15 leaves its workers what other processes don't want
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "VLLM_NO_USAGE_STATS": "1"}  # they report to their makers otherwise
PASSED_ON = ("HF_HUB_OFFLINE", "HF_HOME", "HF_HUB_CACHE", "TOKENIZERS_PARALLELISM", "NCCL_DEBUG", "R2I_STORE")


@dataclass(frozen=True)
class Environment:
    """`ours`: variables to set; `secrets`: keys, by value, never to be shown; `unwanted`: names to unset."""

    ours: dict[str, str]
    secrets: dict[str, str]
    unwanted: tuple[str, ...]

    def local(self) -> dict[str, str]:
        """The whole environment of a process on this machine. Ray starts a cluster of its own there, whatever
        other one runs on it, and finds this Python's programs (ninja, which builds DeepSpeed's optimizer)."""
        kept = {name: value for name, value in os.environ.items() if name not in (*self.unwanted, *SLOW)}
        programs = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
        return {**QUIET, **BRISK, **kept, "PATH": programs, "RAY_ADDRESS": "local", **self.ours, **self.secrets}

    def job(self) -> dict[str, str]:
        """What a Ray job is given: the nodes have an environment of their own. How nice its workers are is
        decided by the node's Ray: a job changes nothing about it (BRISK)."""
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        return {**QUIET, **dict.fromkeys(SLOW, ""), **passed, **self.ours, **self.secrets}

    def hide(self, text: str) -> str:
        """`text` without the keys: Ray quotes the environment of a job that it could not start."""
        for secret in self.secrets.values():
            text = hide_key(text, secret)
        return text


def training_environment(train: Train, files: Files, shim: Path | None, given: Mapping[str, str]) -> Environment:
    """`shim`: a folder with what OpenRLHF imports of flash-attn, where that is not installed. `given`: os.environ."""
    root = Path(r2i.__file__).resolve().parents[1]
    paths = [str(shim)] if shim else []
    paths += [str(root), *filter(None, given.get("PYTHONPATH", "").split(os.pathsep))]
    ours = {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), SETTINGS_VARIABLE: str(files.agent_settings)}
    ours["DVC_ROOT"] = str(Path(given.get("DVC_ROOT") or ".").resolve())  # the judge's replies go where ours do
    ours |= _toolkit(files, given)
    judge = train.dapo.judge
    name = judge.endpoint.api_key_env if judge else None
    secrets = {name: given[name] for name in [name] if name and given.get(name)}
    return Environment(ours, secrets, tuple(name for name in UNWANTED if name in given))


def _toolkit(files: Files, given: Mapping[str, str]) -> dict[str, str]:
    """DeepSpeed compiles its optimizer at the start: the CUDA toolkit that pip installed serves, where none is
    named. Its version need not be PyTorch's to the last digit, and its libraries lack the names that linkers ask
    for (libcudart.so): links with those names are made in the workspace."""
    if given.get("CUDA_HOME"):
        return {}
    home = pip_toolkit()
    if home is None:
        return {}
    links = files.root / "cuda-lib"
    link_libraries(home / "lib", links)
    search = os.pathsep.join(filter(None, [str(links), given.get("LIBRARY_PATH", "")]))
    return {"CUDA_HOME": str(home), "DS_SKIP_CUDA_CHECK": "1", "LIBRARY_PATH": search}


def pip_toolkit() -> Path | None:
    """The folder with `bin/nvcc` of the packages nvidia-cuda-*, newest first."""
    spec = find_spec("nvidia")
    roots = spec.submodule_search_locations if spec else None
    found = [nvcc.parents[1] for root in roots or [] for nvcc in Path(root).glob("cu*/bin/nvcc")]
    return max(found, default=None)


def link_libraries(source: Path, links: Path) -> None:
    """`links/libx.so` for each `source/libx.so.N`."""
    links.mkdir(parents=True, exist_ok=True)
    for library in sorted(source.glob("lib*.so.*")):
        link = links / f"{library.name.partition('.so.')[0]}.so"
        if link.is_symlink() and link.readlink() == library:  # a training that was left behind may be linking
            continue
        link.unlink(missing_ok=True)
        link.symlink_to(library)
