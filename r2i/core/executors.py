"""Where shards are made: in this process, in several of this machine, or on a Ray cluster. The result is the same.

A task is a function of some items; what it makes, it keeps itself. So nothing has to come back but the end, and what a
worker that died had finished is not done again.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from r2i.core.errors import R2IError
from r2i.core.params import Execution

GRACE_S = 12.0  # for workers to store the replies that are under way, when another has failed
RAY_TASKS = 4  # tasks for each worker: the slowest of them costs little, models are loaded so often
RETRIES = 10  # of a Ray task whose worker died
PARENT_S = 1.0  # between two looks whether the parent lives


@dataclass(frozen=True)
class Task:
    """`function(*given, items, workers)` does the work of `items`; all of it must pickle. `gpus`: of one worker.
    `keys`: names of the variables of the environment that hold what it must know and nobody may read."""

    function: Callable[..., None]
    given: tuple[Any, ...]
    items: Sequence[Any]
    gpus: int = 0
    keys: Sequence[str] = ()


def run_tasks(task: Task, execution: Execution, most: int | None = None) -> None:
    """Do all items of the task. `most`: workers allowed.

    Raises what the function raises, and R2IError where a worker died; what is finished stays finished.
    """
    if not task.items:
        return
    if execution.executor == "ray" and most != 1:
        from r2i.core.ray_tasks import run_by_ray

        run_by_ray(task, most)
        return
    workers = min(execution.workers, len(task.items), most or len(task.items))
    if workers == 1:
        task.function(*task.given, task.items, 1)
    else:
        _run_in_processes(task, workers)


def _run_in_processes(task: Task, workers: int) -> None:
    context = multiprocessing.get_context("spawn")
    running: dict[Any, tuple[Any, Connection]] = {}
    gpus = list_gpus() if task.gpus else []
    try:
        for number in range(workers):
            ours, theirs = context.Pipe(duplex=False)
            gpu = gpus[number % len(gpus)] if gpus else None
            given = (task, task.items[number::workers], workers, gpu, theirs, os.getpid())
            process = context.Process(target=_work, args=given, daemon=False)
            process.start()
            theirs.close()
            running[process.sentinel] = (process, ours)
        while running:
            for sentinel in wait(list(running)):
                process, ours = running.pop(sentinel)
                process.join()
                with suppress(EOFError):  # its end is closed, and nothing was sent
                    raise ours.recv()
                if process.exitcode:
                    raise R2IError(
                        f"a worker of {workers} died ({_describe_exit(process.exitcode)})",
                        "run again: finished shards are kept. If memory ran out, lower execution.workers",
                    )
    finally:
        _stop([process for process, _ in running.values()])


def list_gpus() -> list[str]:
    """The GPUs that this process may see, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    named = [name.strip() for name in given.split(",")] if given is not None else []
    there = torch.cuda.device_count()  # of those that are given
    return named[:there] if given is not None else [str(number) for number in range(there)]


def _work(task: Task, items: Sequence[Any], workers: int, gpu: str | None, answer: Connection, parent: int) -> None:
    """In a process of its own: its share of the items, on its GPU; an error goes to the parent."""
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    try:
        task.function(*task.given, items, workers)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        answer.send(error if isinstance(error, R2IError | OSError) else R2IError(f"{type(error).__name__}: {error}"))
        raise SystemExit(1) from None


def _follow(parent: int) -> None:
    """End with the parent, however it ends."""
    while os.getppid() == parent:
        time.sleep(PARENT_S)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(GRACE_S)
    os._exit(1)


def _stop(processes: Sequence[Any]) -> None:
    """As by Ctrl-C, so that replies under way are stored; after GRACE_S by force."""
    for process in processes:
        if process.is_alive():
            os.kill(process.pid, signal.SIGINT)
    until = time.monotonic() + GRACE_S
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


def _describe_exit(code: int) -> str:
    return f"by signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
