"""How MLflow's list of runs opens: the headline as columns, in place of "Source" and "Models"."""

import json
from typing import TYPE_CHECKING

from r2i.core.names import ModelNames

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY = "r2i"  # `make mlflow` opens .../runs?viewStateShareKey=r2i
TAG = f"mlflow.sharedViewState.{KEY}"


def set_view(client: "MlflowClient", experiment: str, models: ModelNames) -> None:
    """Keep the view that `make mlflow` opens in the experiment `experiment` (its id)."""
    gaps = [f"gap.{model}" for model in models.leading]
    crops = [f"crop.{model}" for model in models.leading[-1:]]
    metrics = [*(f"full.{model}" for model in models), *crops, *gaps, "train_rows"]
    shown = [*(f"metrics.`{name}`" for name in metrics), "tags.`r2i.params_changed`"]
    state = {
        "searchFilter": "", "orderByKey": "attributes.start_time", "orderByAsc": False, "startTime": "ALL",
        "lifecycleFilter": "Active", "datasetsFilter": [], "modelVersionFilter": "All Runs",
        "selectedColumns": shown, "runsExpanded": {}, "runsPinned": [], "runsHidden": [],
    }  # fmt: skip
    text = json.dumps(state)
    if client.get_experiment(experiment).tags.get(TAG) != text:
        client.set_experiment_tag(experiment, TAG, text)
