"""Let every teacher answer each question several times, on the crop."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from r2i.core import paths
from r2i.core.metrics import write_metrics
from r2i.core.params import load_params
from r2i.core.records import ANSWERS, QUESTIONS, REGIONS
from r2i.core.stage import run_stage
from r2i.core.tables import ok_rows, read_table, write_table

PARAMS = ("seed", "answer")


def main(file: Annotated[Path, typer.Option("--params")] = Path("params.yaml")) -> None:
    """Ask each teacher each question as often as params say; keep every sample as a row."""
    from r2i.answer.ask import ask_teachers, summarise
    from r2i.endpoint import connect
    from r2i.endpoint.ledger import Ledger
    from r2i.endpoint.pictures import read_pictures

    loaded = load_params(file)
    params, seed, ledger = loaded.chosen.answer, loaded.seed, Ledger()
    questions = ok_rows(read_table(paths.QUESTIONS, QUESTIONS, "question"), paths.QUESTIONS, "question")
    region_ids = [question["region_id"] for question in questions]
    crops = read_pictures(paths.REGIONS, REGIONS, "crop", "crop", region_ids, params.max_pixels)
    with ExitStack() as stack:
        models = [stack.enter_context(connect(teacher.endpoint)) for teacher in params.teachers]
        rows = ask_teachers(questions, crops, models, params, seed, ledger)
    write_table(paths.ANSWERS, rows, ANSWERS, params.shards)
    write_metrics(paths.metrics("answer"), {**summarise(rows), "calls": ledger.metrics()})


if __name__ == "__main__":
    run_stage(main)
