"""Which attention runs, and what stands in for flash-attn where it is not installed.

OpenRLHF 0.11.2 imports three things of flash-attn whether it is used or not (openrlhf/models/ring_attn_utils.py).
`shim/` supplies them; it belongs on PYTHONPATH of a training process if and only if `needs_shim()`.
"""

import importlib.metadata
from pathlib import Path

from r2i.core.errors import R2IError
from r2i.core.params import Cluster
from r2i.core.servers import cluster_address

FLASH, SDPA = "flash_attention_2", "sdpa"


def shim_path() -> Path:
    """The folder to put first on PYTHONPATH."""
    return Path(__file__).resolve().parent / "shim"


def flash_attn_installed() -> bool:
    """Whether the package flash-attn is installed here. The shim is none: it is no distribution."""
    try:
        importlib.metadata.version("flash-attn")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def choose_attention(cluster: Cluster, installed: bool | None = None) -> str:
    """What `--ds.attn_implementation` gets. `installed`: whether flash-attn is; None: look here.

    Raises R2IError where params ask for flash_attention_2 and it is not there. The packages of a
    Ray cluster's nodes can't be seen from here: then what params ask for is believed.
    """
    there = flash_attn_installed() if installed is None else installed
    if cluster.attention == "auto":
        return FLASH if there else SDPA
    if cluster.attention == FLASH and not there and cluster_address() is None:
        raise R2IError(
            "train.cluster.attention is flash_attention_2, and flash-attn is not installed",
            "install it (it compiles against your CUDA: `pip install flash-attn --no-build-isolation`), "
            "or set attention to auto or sdpa",
        )
    return cluster.attention
