"""Image pools -> images: a seeded choice without broken, small or repeated images."""

from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from r2i.core import paths, records
from r2i.core.left_out import leave_out
from r2i.core.metrics import count_statuses, require_ok, write_metrics
from r2i.core.params import load_params
from r2i.core.progress import track
from r2i.core.stage import run_stage
from r2i.core.tables import write_table

PARAMS = ("seed", "sample")


def main(file: Annotated[Path, typer.Option("--params")] = Path("params.yaml")) -> None:
    """Choose images from the pools; the truth of rendered ones goes to a table of its own."""
    from r2i.core.shards import cut_shards
    from r2i.core.spool import TarSpool
    from r2i.importing.hash_cache import HashCache
    from r2i.sample.choose import REMEDIES, choose_images, summarise
    from r2i.sample.pools import list_offers
    from r2i.sample.version import require_versions

    loaded = load_params(file)
    if leave_out(loaded, "sample"):
        return
    params, seed = loaded.chosen.sample, loaded.seed
    with HashCache(paths.pool_hashes()) as cache, TarSpool(paths.IMAGES.parent) as spool:
        by_pool = {
            pool.name: list(track(list_offers(pool, seed, cache), f"sample {pool.name}")) for pool in params.pools
        }
        versions = require_versions(params.pools, by_pool)
        offers = list(chain.from_iterable(by_pool.values()))
        selection = choose_images(offers, params, seed, spool, cache)
        require_ok(selection.rows, "image", REMEDIES)
        ordered = sorted(selection.rows, key=lambda row: row["source"])
        cut = cut_shards((row["image_id"] for row in ordered), params.shard_images)
        write_table(paths.IMAGES, selection.rows, records.IMAGES, cut)
    write_table(paths.TRUTH, selection.truth, records.TRUTH, cut)
    metrics = {**count_statuses(selection.rows), **summarise(offers, selection), "versions": versions}
    write_metrics(paths.metrics("sample"), metrics)


if __name__ == "__main__":
    run_stage(main)
