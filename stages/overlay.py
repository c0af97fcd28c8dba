"""Put each kept question back on the full image, as multiple choice with the region's box drawn on it."""

from pathlib import Path

from r2i.core import paths
from r2i.core.boxes import Box
from r2i.core.metrics import write_metrics
from r2i.core.params import load_params
from r2i.core.records import REGIONS, TRAIN, VOTES
from r2i.core.stage import run_stage
from r2i.core.tables import ok_rows, read_table, write_table

PARAMS = ("seed", "overlay", "drawing")


def main(params: Path = Path("params.yaml")) -> None:
    """Apply what people decided, write distractors, draw the box, drop what is too easy, write the training rows."""
    from r2i.core.photos import Photos
    from r2i.endpoint import connect
    from r2i.endpoint.ledger import Ledger
    from r2i.endpoint.pictures import read_images, read_pictures
    from r2i.overlay.ask import prepare_items
    from r2i.overlay.balance import limit_dimensions
    from r2i.overlay.boxed import Drawer
    from r2i.overlay.item import make_items
    from r2i.overlay.reviewed import reserve, review_items, review_metrics
    from r2i.overlay.rows import summarise, train_rows
    from r2i.review.decisions import read_and_warn
    from r2i.review.strata import question_strata

    loaded = load_params(params)
    cfg, drawing, seed, ledger = loaded.chosen.overlay, loaded.chosen.drawing, loaded.seed, Ledger()
    votes = ok_rows(read_table(paths.VOTES, VOTES, "vote"), paths.VOTES, "vote")
    regions = read_table(paths.REGIONS, REGIONS, "crop", ["region_id", "box"])
    crops = read_pictures(paths.REGIONS, REGIONS, "crop", "crop", (vote["region_id"] for vote in votes))
    images = read_images(Photos.of(loaded), (vote["image_id"] for vote in votes))
    items = make_items(votes, {row["region_id"]: Box(*row["box"]) for row in regions if row["box"]})
    review = review_items(items, read_and_warn(paths.REVIEWED_QUESTIONS), images, drawing.cut)
    with Drawer(paths.TRAIN.parent, drawing.outline) as drawer:
        with connect(cfg.teacher) as teacher, connect(cfg.student) as student:
            prepare_items(items, crops, images, drawer, teacher, student, cfg, seed, ledger)
        reserve(items, review)
        limit_dimensions(items, cfg.per_dimension, seed)
        rows = train_rows(items, crops, images, cfg, seed)
        write_table(paths.TRAIN, rows, TRAIN, shards=cfg.shards)
    metrics = {**summarise(items, rows, cfg.tries), "calls": ledger.metrics()}
    write_metrics(paths.metrics("overlay"), metrics | review_metrics(review, items, question_strata(votes)))


if __name__ == "__main__":
    run_stage(main)
