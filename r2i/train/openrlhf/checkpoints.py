"""Which checkpoint of DeepSpeed a run can go on from; what a kill left half written is thrown away.

`_actor/latest` names the folder of the newest checkpoint, and is written after it. OpenRLHF, told to load from an
`_actor` that holds no valid `latest`, ends in a KeyError: such a folder has to go before the launch.
"""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from r2i.core.errors import R2IError
from r2i.core.params import Cluster
from r2i.train.openrlhf.workspace import Files

BYTES_OF_A_PARAMETER = 14  # bf16 weight 2; float32 master weight, and Adam's two moments: 4 each
LATEST = "latest"


def usable(files: Files, cluster: Cluster, tell: Callable[[str], None]) -> bool:
    """Whether there is a checkpoint to go on from. `latest` is set to the newest complete one; those after it are
    removed, since OpenRLHF would count them and remove the complete one for them; `_actor` is removed where there is
    none. `tell` is told of what is removed."""
    folder = files.checkpoints / "_actor"
    if not folder.is_dir():
        return False
    broken: list[str] = []
    for path in sorted((path for path in folder.iterdir() if path.is_dir()), key=_step, reverse=True):
        if is_complete(path, cluster):
            if _named(folder) != path.name:
                (folder / LATEST).write_text(path.name, encoding="utf-8")
            if broken:
                tell(f"checkpoint {', '.join(broken)} is not whole: training goes on from {path.name}")
            return True
        broken.append(path.name)
        shutil.rmtree(path)
    shutil.rmtree(folder)
    tell("no checkpoint is whole: training starts anew")
    return False


def is_complete(folder: Path, cluster: Cluster) -> bool:
    """Whether the model's and, with ZeRO, each GPU's optimizer states are there and can be opened."""
    gpus = cluster.nodes * cluster.gpus_per_node
    models = list(folder.glob("*model_states.pt"))
    optimizers = list(folder.glob("*optim_states.pt"))
    enough = len(models) >= (gpus if cluster.zero_stage == 3 else 1)
    enough = enough and len(optimizers) >= (gpus if cluster.zero_stage else 0)
    return enough and all(_is_sound(path) for path in [*models, *optimizers])


def _is_sound(path: Path) -> bool:
    """Whether a file of torch's has all its bytes: a cut one has no directory, and each part has a checksum."""
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile):
        return False


def refuse_other_layout(files: Files, cluster: Cluster) -> None:
    """Note the GPUs that this run's checkpoints are split over. Raises R2IError where there are checkpoints of
    another split: DeepSpeed can't read them."""
    layout = f"{cluster.nodes * cluster.gpus_per_node} GPUs, ZeRO stage {cluster.zero_stage}"
    note = files.root / "layout"
    before = note.read_text(encoding="utf-8") if note.is_file() else layout
    if before != layout and (files.checkpoints / "_actor").is_dir():
        raise R2IError(
            f"the checkpoints of this run are split over {before}; train.cluster now says {layout}",
            f"set train.cluster back, or start anew: remove {files.root}",
        )
    note.write_text(layout, encoding="utf-8")


def refuse_small_disk(files: Files, parameters: int, keep: int, best: bool = False) -> None:
    """Raises R2IError where `keep` checkpoints and the result don't fit. `parameters`: of the model. `best`: each
    checkpoint has the weights of the best model so far beside it, and one is written while they all are there."""
    needed = parameters * (BYTES_OF_A_PARAMETER * keep + 2 + (2 * (keep + 1) if best else 0))
    folders = (files.checkpoints, files.validated, files.result)  # the new ones take their place
    old = (path for folder in folders for path in folder.rglob("*"))
    there = sum(path.stat().st_size for path in old if path.is_file())
    free = shutil.disk_usage(files.root).free + there
    if free < needed:
        sizes = f"{needed / 1e9:.0f} GB; there are {free / 1e9:.0f} GB at {files.root}"
        raise R2IError(
            f"{keep} checkpoints and the trained model take {sizes}",
            "free some, lower train.keep (2 at least), or have DVC_ROOT's .r2i on a larger disk",
        )


def _named(folder: Path) -> str:
    try:
        return (folder / LATEST).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _step(folder: Path) -> int:
    digits = "".join(filter(str.isdigit, folder.name))
    return int(digits or 0)
