"""Truth and all tables -> metrics: how often regions, questions, answers and labels are true."""

from pathlib import Path

from r2i.core import paths
from r2i.core.left_out import leave_out
from r2i.core.metrics import write_metrics
from r2i.core.params import load_params
from r2i.core.stage import run_stage

PARAMS = ()


def main(params: Path = Path("params.yaml")) -> None:
    """Compare every table with the renderer's truth, after the fact; nothing trains on this."""
    from r2i.audit.work import AuditWork, summarise
    from r2i.core.shards import make_table

    if leave_out(load_params(params), "audit"):
        return
    write_metrics(paths.metrics("audit"), summarise(make_table(AuditWork, params)))


if __name__ == "__main__":
    run_stage(main)
