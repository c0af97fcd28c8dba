"""Under which name the replies of a model are filed: a folder that vLLM serves is named by its weights.

A folder keeps its path when it is trained or fetched anew. It is served and filed under `<folder>@<digest of its
files>`, so that no reply of other weights is replayed. (What an `openai` server serves is not known here: its name
has to change with its weights. A hub id is taken as it is.)
"""

import hashlib
from pathlib import Path

from r2i.core.params import Endpoint

READ = 2**20  # bytes of a file at once


def serve_by_weights(endpoint: Endpoint) -> tuple[Endpoint, str]:
    """The endpoint, made to serve its model under the name under which replies are filed, and that name."""
    name = stored_name(endpoint)
    if name == endpoint.model:
        return endpoint, name
    # vLLM takes the last one of a flag that is given twice: the first is the folder's bare path
    return endpoint.model_copy(update={"flags": [*endpoint.flags, "--served-model-name", name]}), name


def stored_name(endpoint: Endpoint) -> str:
    """`<folder>@<12 hex digits>` for a folder that r2i's vLLM serves, else the model's name."""
    if endpoint.kind != "vllm" or not Path(endpoint.model).is_dir():
        return endpoint.model
    return f"{endpoint.model}@{digest_folder(Path(endpoint.model))[:12]}"


def digest_folder(folder: Path) -> str:
    """sha256 over the relative path and content of each file below `folder`, in order of paths.

    Hidden files are left out, and `__pycache__`: a hub's download notes its time in such.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not _is_aside(path, folder)):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(READ):
                digest.update(block)
    return digest.hexdigest()


def _is_aside(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(folder).parts)
