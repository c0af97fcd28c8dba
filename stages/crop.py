"""Images -> regions: find small objects, keep the boxes that fit the rules, cut their crops."""

from functools import partial
from pathlib import Path

from r2i.core import paths, records
from r2i.core.metrics import count_statuses, require_ok, write_metrics
from r2i.core.params import load_params
from r2i.core.stage import run_stage
from r2i.core.tables import ok_rows, read_table, write_table

SIZE = ["image_id", "width", "height", "status"]
PARAMS = ("seed", "crop", "drawing.cut")


def main(params: Path = Path("params.yaml")) -> None:
    """Find regions in every image that `sample` kept; the teacher, where there is one, lists the objects first."""
    from r2i.core.catalogue import IMAGES
    from r2i.core.photos import Photos
    from r2i.core.shards import shard_of_each_image
    from r2i.crop.regions import summarise
    from r2i.crop.run import regions_of_all
    from r2i.endpoint.ledger import Ledger
    from r2i.endpoint.pictures import read_images

    loaded = load_params(params)
    cfg, cut, ledger, listings = loaded.chosen.crop, loaded.chosen.drawing.cut, Ledger(), None
    open_images = partial(read_images, Photos.of(loaded))
    if cfg.method == "teacher+sam2" and cfg.teacher:
        from r2i.crop.grounding import list_objects
        from r2i.endpoint import connect

        images = ok_rows(read_table(paths.IMAGES, records.IMAGES, "sample", SIZE), paths.IMAGES, "sample")
        with connect(cfg.teacher) as teacher:
            listings = list_objects(images, open_images(), teacher, cfg, loaded.seed, ledger)
    with regions_of_all(open_images, cfg, cut, listings, loaded.chosen.execution) as done:
        regions = done.rows()
        require_ok(regions, "region", "loosen the crop section of the profile in params.yaml")
        write_table(paths.REGIONS, regions, records.REGIONS, shard_of_each_image(IMAGES))
        calls = {} if listings is None else {"calls": ledger.metrics()}
        write_metrics(paths.metrics("crop"), {**count_statuses(regions), **summarise(regions), **calls})


if __name__ == "__main__":
    run_stage(main)
