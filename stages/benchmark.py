"""A benchmark -> items: the questions on which models are compared, in three views."""

from pathlib import Path

from r2i import paths, records
from r2i.metrics import count_statuses, require_ok, write_metrics
from r2i.params import load_params
from r2i.stage import run_stage
from r2i.tables import write_table


def main(params: Path = Path("params.yaml")) -> None:
    """Render held-out scenes, or read a benchmark's table."""
    from r2i.benchmark.rendered import render_items
    from r2i.benchmark.table import read_items
    from r2i.benchmark.views import summarise

    loaded = load_params(params)
    cfg = loaded.chosen.benchmark
    items = render_items(cfg, loaded.seed) if cfg.source == "rendered" else read_items(cfg)
    require_ok(items, "item", "look at the benchmark section of the profile in params.yaml")
    write_table(paths.BENCHMARK, items, records.BENCHMARK)
    write_metrics(paths.metrics("benchmark"), {**count_statuses(items), **summarise(items)})


if __name__ == "__main__":
    run_stage(main)
