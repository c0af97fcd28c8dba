"""Write questions about every crop and check each of them against the full image."""

from pathlib import Path

from r2i import paths
from r2i.metrics import write_metrics
from r2i.params import load_params
from r2i.question.check import check_questions
from r2i.question.write import summarise, write_questions
from r2i.records import IMAGES, QUESTIONS, REGIONS
from r2i.stage import run_stage
from r2i.tables import ok_rows, read_blobs, read_table, write_table


def main(params: Path = Path("params.yaml")) -> None:
    """Ask the teacher for questions about each crop; keep those that pass its four checks."""
    from r2i.endpoint import connect

    loaded = load_params(params)
    cfg, seed = loaded.chosen.question, loaded.seed
    regions = ok_rows(read_table(paths.REGIONS, REGIONS, "crop"), paths.REGIONS, "crop")
    images = read_blobs(paths.IMAGES, IMAGES, "sample", "image", (region["image_id"] for region in regions))
    teacher = connect(cfg.teacher)
    rows = write_questions(regions, teacher, cfg, seed)
    if cfg.validate_:
        crops = {region["region_id"]: region["crop"] for region in regions}
        rows = check_questions(rows, crops, images, teacher, cfg, seed)
    write_table(paths.QUESTIONS, rows, QUESTIONS)
    write_metrics(paths.metrics("question"), summarise(rows))


if __name__ == "__main__":
    run_stage(main)
