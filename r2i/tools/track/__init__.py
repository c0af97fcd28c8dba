"""A finished pipeline as MLflow runs, written beside the DAG and never by a stage.

A parent run stands for one `dvc.lock` at one git commit, with a nested run for each stage, cached
ones too. It is found again by its tags: to track twice is to track once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from filelock import FileLock

from r2i.core import paths
from r2i.core.tracking import (
    TrackingUnavailable,
    check_server,
    connect,
    find_experiment,
    first_line,
    store_errors,
    tracking_uri,
    without_password,
)
from r2i.tools.track.finished import Finished, read_workspace, restored
from r2i.tools.track.view import set_view
from r2i.tools.track.write import write_run

__all__ = ["Tracked", "TrackingUnavailable", "track", "track_experiments"]


@dataclass(frozen=True)
class Tracked:
    """`run_id` of the parent run; `new` is False where the run was there and complete. `left_out`: what of dvc.lock is
    of other params, as a line; "" where nothing is."""

    run_id: str
    new: bool
    uri: str
    name: str
    left_out: str


def track() -> Tracked:
    """Write the run that `dvc.lock` in the current directory describes to MLflow, once.

    Raises R2IError where there is no finished run, TrackingUnavailable where the server is down.
    """
    return _track(read_workspace())


def track_experiments(names: Iterable[str]) -> list[Tracked]:
    """Write experiments of `dvc exp`, by name, to MLflow, each once; also those of `--temp` and `--queue`.

    What they wrote comes from git and DVC's cache or remote; the workspace stays as it is. Raises like `track`, and
    R2IError where there is no such experiment.
    """
    check_server(tracking_uri())
    tracked = []
    for name in names:
        with restored(name) as finished:
            tracked.append(_track(finished))
    return tracked


def _track(finished: Finished) -> Tracked:
    uri = tracking_uri()
    check_server(uri)
    folder = paths.state_folder().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    shown = without_password(uri)
    with FileLock(folder / "mlflow.lock"):  # a fresh database, and find-or-create, take one process
        try:
            client = connect(uri)
            home = find_experiment(client, uri)
            if not urlsplit(uri).hostname:
                set_view(client, home, finished.models)
            run_id, new = write_run(client, home, finished)
        except store_errors() as error:
            raise TrackingUnavailable(f"{shown}: {first_line(error)}") from error
    return Tracked(run_id, new, shown, finished.name, finished.left_out)
