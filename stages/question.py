"""Write questions about every crop and check each of them against the full image."""

from pathlib import Path
from typing import Annotated

import typer

from r2i.core import paths
from r2i.core.metrics import write_metrics
from r2i.core.params import load_params
from r2i.core.records import QUESTIONS, REGIONS
from r2i.core.stage import run_stage
from r2i.core.tables import ok_rows, read_table, write_table

REGION = ["region_id", "image_id", "status"]  # not the crops
PARAMS = ("seed", "question")


def main(file: Annotated[Path, typer.Option("--params")] = Path("params.yaml")) -> None:
    """Ask the teacher for questions about each crop; keep those that pass its four checks."""
    from r2i.core.photos import Photos
    from r2i.endpoint import connect
    from r2i.endpoint.ledger import Ledger
    from r2i.endpoint.pictures import read_images, read_pictures
    from r2i.question.ask import make_questions, summarise

    loaded = load_params(file)
    params, seed, ledger = loaded.chosen.question, loaded.seed, Ledger()
    regions = ok_rows(read_table(paths.REGIONS, REGIONS, "crop", REGION), paths.REGIONS, "crop")
    image_ids, region_ids = ([region[name] for region in regions] for name in ("image_id", "region_id"))
    images = read_images(Photos.of(loaded), image_ids, params.max_pixels)
    crops = read_pictures(paths.REGIONS, REGIONS, "crop", "crop", region_ids, params.max_pixels)
    with connect(params.teacher) as teacher:
        rows = make_questions(regions, crops, images, teacher, params, seed, ledger)
    write_table(paths.QUESTIONS, rows, QUESTIONS, params.shards)
    write_metrics(paths.metrics("question"), {**summarise(rows), "calls": ledger.metrics()})


if __name__ == "__main__":
    run_stage(main)
