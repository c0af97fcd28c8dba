"""Where a model looks, batch by batch: what is measured is kept at once, so that a killed run goes on after it."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from r2i.core import paths
from r2i.core.fingerprint import code_text, library_versions, machine
from r2i.core.ids import make_id
from r2i.core.params import Params
from r2i.core.records import ATTENTION, BENCHMARK
from r2i.core.shards import LIBRARIES, KeptShards, MadeShard
from r2i.core.tables import iter_rows
from r2i.endpoint import connect
from r2i.evaluate.engines import endpoint_in_process
from r2i.evaluate.predict import EvaluateWork
from r2i.evaluate.views import prompt_of

Row = dict[str, Any]
STAGE = "attention"  # of its batches in the folder of kept shards


class KeptLooks:
    """Rows of ATTENTION of finished batches, by all that decides about them: code, params, libraries, weights, machine,
    and what the batch shows and asks."""

    def __init__(self, params: Params, which: str, weights: Any) -> None:
        """`which`: the model's name; `weights`: what tells the model from others, as JSON."""
        self.kept = KeptShards(paths.state_folder().absolute() / "shards" / STAGE)
        code = code_text("evaluate", params, which)
        self.common = (code, library_versions(LIBRARIES), ATTENTION.to_string(), machine(), weights)
        self.found = 0

    def rows(self, batch: Sequence[str], measure: Callable[[], Iterable[Row]]) -> list[Row]:
        """The rows of a batch, measured unless they are there. `batch`: a digest of each of its items."""
        key = make_id(*self.common, *batch)
        counts = self.kept.find(key)
        if counts is None:
            counts = {"rows": list(measure())}
            self.kept.add(key, MadeShard((), counts), None)
        else:
            self.found += len(batch)
        return list(counts["rows"])


def measure_looks(work: EvaluateWork, rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Rows of ATTENTION where params ask for it and the weights are here; a server shows no attention. `rows`: the
    predictions, whose replies may be the queries."""
    cfg = work.params.chosen.evaluate
    inside = endpoint_in_process(work.endpoint, cfg)
    if cfg.attention is None or inside is None:
        return []
    from r2i.evaluate.attention import attention_rows

    said = {row["item_id"]: row["reply"] for row in rows if row["view"] == "full" and row["sample"] == 0}
    kept = KeptLooks(work.params, work.which, [inside.model_dump(mode="json"), work.weights()])
    with connect(inside) as student:
        if student.loaded is None:
            return []
        looks = attention_rows(
            *student.loaded, iter_rows(paths.BENCHMARK, BENCHMARK, "benchmark"), cfg.attention,
            prompt_of=lambda item: prompt_of(item, "full", cfg.prompts, work.protocol),
            reply_of=lambda item: said.get(item["item_id"], ""),
            protocol=work.protocol,
            kept=kept,
        )  # fmt: skip
        found = list(looks)
    if kept.found:
        print(f"evaluate: the attention of {kept.found} items was measured before", file=sys.stderr)
    return found
