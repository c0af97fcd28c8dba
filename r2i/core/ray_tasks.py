"""Work on a Ray cluster: the one at $RAY_ADDRESS, or a Ray of this machine that ends with the work.

What a worker reads and writes lies in the repository's folder and in the pools, which must be visible under the same
path on every node: as DVC needs it.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import r2i
from r2i.core.errors import R2IError
from r2i.core.executors import GRACE_S, RAY_TASKS, RETRIES, Task
from r2i.core.servers import ADDRESSES

STORE_BYTES = 2**30  # of a Ray that is started here
PASSED_ON = (
    "ARROW_DEFAULT_MEMORY_POOL", "DVC_ROOT", "HF_HOME", "HF_HUB_OFFLINE", "OMP_WAIT_POLICY", "R2I_REPLIES",
    "R2I_STORE", "TORCH_HOME",
)  # fmt: skip


def run_by_ray(task: Task, most: int | None) -> None:
    """Do the items of `task` on all that Ray has; `most`: workers allowed."""
    with connected_ray() as ray:
        there = ray.cluster_resources()
        gpus = int(there.get("GPU", 0)) if task.gpus else 0
        count = max(1, min(gpus or int(there.get("CPU", 1)), len(task.items), most or len(task.items)))
        slices = min(len(task.items), count * RAY_TASKS)
        places = {"num_gpus": 1} if gpus else {"num_cpus": 1}
        remote = ray.remote(max_retries=RETRIES, **places)(work_with_keys)
        keys = {name: os.environ[name] for name in task.keys if name in os.environ}
        waiting = [remote.remote(keys, task, task.items[at::slices], count) for at in range(slices)]
        try:
            while waiting:
                ended, waiting = ray.wait(waiting)
                ray.get(ended)
        except Exception as error:  # Ray's own, and what a worker raised, wrapped
            raise plain_error(error) from error
        finally:
            stop(ray, waiting)


def work_with_keys(keys: Mapping[str, str], task: Task, items: Sequence[Any], workers: int) -> None:
    """In a worker. Keys come as an argument, which Ray writes nowhere: its dashboard shows a job's environment."""
    os.environ.update(keys)
    task.function(*task.given, items, workers)


def stop(ray: Any, waiting: Sequence[Any]) -> None:
    """As by Ctrl-C, so that replies under way are stored; GRACE_S later whoever goes on ends with Ray."""
    with suppress(ray.exceptions.RayError):  # of a Ray that is gone
        for one in waiting:
            ray.cancel(one)
        if waiting:
            ray.wait(waiting, num_returns=len(waiting), timeout=GRACE_S)


@contextmanager
def connected_ray() -> Iterator[Any]:
    """The module `ray`, connected; a Ray in use stays as it is. Raises R2IError where there is none."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # it would copy the working tree to every worker
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # remarks of its C++ core on our stderr
    try:
        import ray as module
    except ImportError as error:
        raise R2IError(f"execution.executor is ray, but it can't be imported ({error})", "install ray[data]") from error
    ray: Any = module
    if ray.is_initialized():
        yield ray
        return
    address = os.environ.get("RAY_ADDRESS")
    own: dict[str, Any] = (
        {} if address else {"num_cpus": len(os.sched_getaffinity(0)), "object_store_memory": STORE_BYTES}
    )
    code = str(Path(r2i.__file__ or "").parent.parent)
    path = os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH")]))
    passed = {name for name in os.environ if name in PASSED_ON or name.startswith(ADDRESSES)}
    env = {"PYTHONPATH": path} | {name: os.environ[name] for name in passed}
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        ray.init(
            address or "local", include_dashboard=None if address else False, log_to_driver=False,
            logging_level="ERROR", runtime_env={"env_vars": env}, **own,
        )  # fmt: skip
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise R2IError(f"no Ray at {address or 'this machine'} ({error})", "see RAY_ADDRESS") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def plain_error(error: BaseException) -> R2IError:
    """What a worker raised, out of what Ray wraps it in."""
    inner: BaseException | None = error
    while inner is not None:
        wrapped = getattr(inner, "cause", None)  # of Ray an exception, of ours a text
        if isinstance(inner, R2IError) and not isinstance(wrapped, BaseException):
            return inner
        inner = wrapped if isinstance(wrapped, BaseException) else inner.__cause__
    return R2IError(f"Ray could not go on: {error}", "what is finished is kept: run again to go on")
