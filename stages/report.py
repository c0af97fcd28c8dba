"""Write the report of a finished run."""

from pathlib import Path

from r2i.core import paths
from r2i.core.params import load_params
from r2i.core.stage import run_stage

PARAMS = ("seed", "profile", "rehearsal", "runs", "models", "report", "train")


def main(params: Path = Path("params.yaml")) -> None:
    """Write data/report/report.html: one page that opens offline."""
    from r2i.core.catalogue import TABLES
    from r2i.report.gather import gather
    from r2i.report.page import write_report

    run = load_params(params)
    profile = run.chosen
    base = profile.train.base if profile.has("train") else ""
    stages = {listed.stage for listed in TABLES if profile.has(listed.stage)}
    story = gather(run.seed, profile.report.gallery, run.model_names, base, stages)
    write_report(paths.REPORT, story, run.profile, profile.rehearsal)


if __name__ == "__main__":
    run_stage(main)
