"""What all commands share: one way to run, one way to fail."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from r2i.core.disk import disk_error
from r2i.core.errors import R2IError


@contextmanager
def explained() -> Iterator[None]:
    """An R2IError becomes its cause and remedy on stderr and exit code 1, a full disk too; Ctrl-C and SIGTERM: 130."""
    try:
        yield
    except KeyboardInterrupt:
        print("stopped; replies that came are kept: run again to go on", file=sys.stderr)
        raise SystemExit(130) from None
    except R2IError as error:
        _fail(error)
    except OSError as error:
        if (found := disk_error(error)) is None:
            raise
        _fail(found)


def _fail(error: R2IError) -> NoReturn:
    print(f"error: {error.cause}", file=sys.stderr)
    if error.remedy:
        print(f"  -> {error.remedy}", file=sys.stderr)
    raise SystemExit(1) from None


def run_stage(main: Callable[..., Any]) -> None:
    """Run a Typer `main` as a stage script."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    # libgomp reads both when torch is imported, which no stage script does at its top. Threads that wait in a loop
    # take the cores from whatever else runs; threads that sleep at once make mini's small steps twice as slow.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")  # turns of an empty loop, well below a millisecond, then sleep
    with explained():
        typer.run(main)
