"""What the agent executor must know, as a file: OpenRLHF builds it without arguments, in processes of its own."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from r2i.core import paths
from r2i.core.disk import new_file
from r2i.core.errors import R2IError
from r2i.core.params import Dapo
from r2i.train.openrlhf.files import Files

VARIABLE = "R2I_AGENT_SETTINGS"


@dataclass(frozen=True)
class Settings:
    """`engines`: vLLM engines that share the judge's budget, each with an executor of its own. `counts`: the folder
    of their tallies. `workspace`: where the store of replies is."""

    dapo: Dapo
    engines: int
    seed: int
    counts: Path
    workspace: Path


def counts_folder(files: Files) -> Path:
    """Where executors keep what they count (r2i.train.openrlhf.tally)."""
    return files.root / "rollouts"


def write_settings(files: Files, dapo: Dapo, engines: int, seed: int) -> None:
    """Write `files.agent_settings`. Raises R2IError for a judge that an executor can't have."""
    if dapo.judge and dapo.judge.endpoint.kind != "openai":
        raise R2IError(
            f"the judge of engine openrlhf can't be of kind {dapo.judge.endpoint.kind}: each vLLM engine would load it",
            "serve it on GPUs of its own and use `kind: openai` with its base_url",
        )
    values = {
        "dapo": dapo.model_dump(mode="json"),
        "engines": engines,
        "seed": seed,
        "counts": str(counts_folder(files)),
        "workspace": str(paths.main_workspace().resolve()),
    }
    with new_file(files.agent_settings) as part:
        part.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_settings() -> Settings:
    """The settings in the file that $R2I_AGENT_SETTINGS names. Raises R2IError where there is none to read."""
    name = os.environ.get(VARIABLE, "")
    try:
        values = json.loads(Path(name).read_text(encoding="utf-8"))
        dapo = Dapo.model_validate(values["dapo"])
        return Settings(dapo, values["engines"], values["seed"], Path(values["counts"]), Path(values["workspace"]))
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise R2IError(
            f"no agent settings in ${VARIABLE} ({name or 'unset'}): {error}",
            "start the training by r2i, with the workspace on a disk that all nodes share",
        ) from error
