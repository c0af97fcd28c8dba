"""How MLflow's list of runs opens: the headline as columns, in place of "Source" and "Models"."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY = "r2i"  # `make mlflow` opens .../runs?viewStateShareKey=r2i
TAG = f"mlflow.sharedViewState.{KEY}"
METRICS = ["full.base", "full.distilled", "full.sft", "crop.distilled", "gap.base", "gap.distilled", "train_rows"]
SHOWN = [*(f"metrics.`{name}`" for name in METRICS), "tags.`r2i.params_changed`"]


def set_view(client: "MlflowClient", experiment: str) -> None:
    """Keep the view that `make mlflow` opens in the experiment `experiment` (its id)."""
    state = {
        "searchFilter": "", "orderByKey": "attributes.start_time", "orderByAsc": False, "startTime": "ALL",
        "lifecycleFilter": "Active", "datasetsFilter": [], "modelVersionFilter": "All Runs",
        "selectedColumns": SHOWN, "runsExpanded": {}, "runsPinned": [], "runsHidden": [],
    }  # fmt: skip
    text = json.dumps(state)
    if client.get_experiment(experiment).tags.get(TAG) != text:
        client.set_experiment_tag(experiment, TAG, text)
