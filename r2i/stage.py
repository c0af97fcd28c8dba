"""What all stage scripts share: one way to run, one way to fail."""

import os
import sys
from collections.abc import Callable
from typing import Any

import typer

from r2i.errors import R2IError


def run_stage(main: Callable[..., Any]) -> None:
    """Run a Typer `main`. An R2IError becomes its cause and remedy on stderr and exit code 1."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        typer.run(main)
    except R2IError as error:
        print(f"error: {error.cause}", file=sys.stderr)
        if error.remedy:
            print(f"  -> {error.remedy}", file=sys.stderr)
        raise SystemExit(1) from None
