"""Images -> regions: find small objects, keep the boxes that fit the rules, cut their crops."""

from pathlib import Path

from r2i import paths, records
from r2i.metrics import count_statuses, require_ok, write_metrics
from r2i.params import load_params
from r2i.progress import track
from r2i.stage import run_stage
from r2i.tables import iter_rows, write_table


def main(params: Path = Path("params.yaml")) -> None:
    """Find regions in every image that `sample` kept."""
    from r2i.crop.finders import make_finder
    from r2i.crop.regions import find_regions, summarise

    cfg = load_params(params).chosen.crop
    images = iter_rows(paths.IMAGES, records.IMAGES, "sample", columns=["image_id", "image", "status"])
    regions = list(find_regions(track(images, "crop"), make_finder(cfg), cfg))
    require_ok(regions, "region", "loosen the crop section of the profile in params.yaml")
    write_table(paths.REGIONS, regions, records.REGIONS, cfg.shards)
    write_metrics(paths.metrics("crop"), {**count_statuses(regions), **summarise(regions)})


if __name__ == "__main__":
    run_stage(main)
