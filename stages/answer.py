"""Let every teacher answer each question several times, on the crop."""

from pathlib import Path

from r2i import paths
from r2i.answer.ask import ask_teacher, summarise
from r2i.metrics import write_metrics
from r2i.params import load_params
from r2i.records import ANSWERS, QUESTIONS, REGIONS
from r2i.stage import run_stage
from r2i.tables import ok_rows, read_blobs, read_table, write_table


def main(params: Path = Path("params.yaml")) -> None:
    """Ask each teacher each question as often as params say; keep every sample as a row."""
    from r2i.endpoint import connect

    loaded = load_params(params)
    cfg, seed = loaded.chosen.answer, loaded.seed
    questions = ok_rows(read_table(paths.QUESTIONS, QUESTIONS, "question"), paths.QUESTIONS, "question")
    crops = read_blobs(paths.REGIONS, REGIONS, "crop", "crop", (question["region_id"] for question in questions))
    rows = [
        row
        for teacher in cfg.teachers
        for row in ask_teacher(questions, crops, teacher, connect(teacher.endpoint), cfg, seed)
    ]
    write_table(paths.ANSWERS, rows, ANSWERS)
    write_metrics(paths.metrics("answer"), summarise(rows))


if __name__ == "__main__":
    run_stage(main)
