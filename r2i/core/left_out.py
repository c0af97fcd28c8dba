"""Stages that the chosen profile does without: they leave empty outputs, so that `dvc repro` ends well all the same."""

from r2i.core import paths
from r2i.core.catalogue import TABLES, TRUTH, Listed, predictions_of
from r2i.core.curve import write_curve
from r2i.core.disk import new_folder
from r2i.core.metrics import write_metrics
from r2i.core.names import OBJECTIVES
from r2i.core.params import Params
from r2i.core.records import ATTENTION
from r2i.core.tables import write_table

LEFT_OUT = {"left_out": True}
"""Metrics of a stage that the profile does without."""
NOT_TRAINED = "not_trained.txt"
"""Of a student's folder, where the profile has no such run."""


def leave_out(params: Params, stage: str) -> bool:
    """Whether the chosen profile does without a stage, as DVC names it (`vote`, `train@dapo`); then its outputs are
    written: tables without rows, LEFT_OUT as metrics, a student's folder without a model."""
    name, _, which = stage.partition("@")
    if not _is_left_out(params, name, which):
        return False
    print(f"{stage} is left out: profile {params.profile} has nothing for it")
    tables = [table for table in (*TABLES, TRUTH) if table.stage == name]
    if name == "evaluate":
        tables = [predictions_of(which), Listed("attention", paths.ATTENTION / which, ATTENTION, stage)]
    for table in tables:
        write_table(table.folder, [], table.schema)
    if name == "train":
        run = OBJECTIVES[next(run for run in OBJECTIVES if run == which)]
        with new_folder(paths.MODELS / run.folder) as folder:
            (folder / NOT_TRAINED).write_text(f"profile {params.profile} has no section train.{which}\n")
        write_curve(paths.TRAIN_LOGS / f"{which}.json", [])
    write_metrics(paths.metrics("evaluate" if name == "score" else stage.replace("@", "-")), LEFT_OUT)
    return True


def _is_left_out(params: Params, name: str, which: str) -> bool:
    profile = params.chosen
    match name:
        case "train":
            return which not in profile.runs()
        case "evaluate":
            return which in params.models and which not in params.evaluated
        case "score":
            return not params.evaluated
        case "audit":
            return not profile.has("sample")
        case _:
            return not profile.has(name)
