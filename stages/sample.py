"""Image pools -> images: a seeded choice without broken, small or repeated pictures."""

from itertools import chain
from pathlib import Path

from r2i.core import paths, records
from r2i.core.metrics import count_statuses, require_ok, write_metrics
from r2i.core.params import load_params
from r2i.core.progress import track
from r2i.core.stage import run_stage
from r2i.core.tables import write_table

PARAMS = ("seed", "sample")


def main(params: Path = Path("params.yaml")) -> None:
    """Choose images from the pools; the truth of rendered ones goes to a table of its own."""
    from r2i.core.spool import TarSpool
    from r2i.sample.choose import choose_images, summarise
    from r2i.sample.hashes import KnownHashes
    from r2i.sample.pools import list_offers
    from r2i.sample.version import require_versions

    loaded = load_params(params)
    cfg, seed = loaded.chosen.sample, loaded.seed
    with KnownHashes(paths.pool_hashes()) as known:
        listed = {pool.name: list(track(list_offers(pool, seed, known), f"sample {pool.name}")) for pool in cfg.pools}
    versions = require_versions(cfg.pools, listed)
    offers = list(chain.from_iterable(listed.values()))
    with TarSpool(paths.IMAGES.parent) as spool:
        choice = choose_images(offers, cfg, seed, spool)
        require_ok(choice.rows, "image", "put other images into the pools or loosen the sample section in params.yaml")
        write_table(paths.IMAGES, choice.rows, records.IMAGES, cfg.shards)
    write_table(paths.TRUTH, choice.truth, records.TRUTH)
    write_metrics(
        paths.metrics("sample"), {**count_statuses(choice.rows), **summarise(offers, choice), "versions": versions}
    )


if __name__ == "__main__":
    run_stage(main)
