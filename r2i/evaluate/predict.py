"""Ask a model every benchmark question in every view, and score what it says."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from r2i.core import paths
from r2i.core.catalogue import BENCHMARK, predictions_of
from r2i.core.metrics import count_statuses, require_ok, require_ok_counts
from r2i.core.params import Cut, Endpoint, Evaluate, Judge, Params, Zoom
from r2i.core.records import OK, PREDICTIONS
from r2i.core.shards import Counts, Shard, rewrite_part
from r2i.core.tables import iter_rows, read_table, table_parts
from r2i.endpoint.base import Model
from r2i.endpoint.flow import Job, run_jobs
from r2i.endpoint.ledger import Ledger
from r2i.endpoint.shard_jobs import JobWork
from r2i.evaluate.engines import choose_endpoint
from r2i.evaluate.plan import Ask, plan, request_of
from r2i.evaluate.protocol import Protocol, open_protocol
from r2i.evaluate.rows import Row, rejected_rows, reply_row, tokens_of
from r2i.evaluate.tool import tool_job
from r2i.evaluate.views import Shelf, missing_view
from r2i.evaluate.zoom import zoom_job
from r2i.grading.judged import judge_rows

REMEDY = "look at metrics/benchmark.json, then see that the model can be called"


class EvaluateWork(JobWork[list[Row]]):
    """Benchmark items → predictions of the model `which`."""

    stage, inputs, needed = "evaluate", (BENCHMARK,), BENCHMARK

    def __init__(self, which: str, params: Params, workers: int = 1) -> None:
        super().__init__(params, workers)
        profile = params.chosen
        base = profile.train.base if profile.has("train") else ""
        self.which, self.output = which, predictions_of(which)
        self.endpoint = choose_endpoint(which, params.models[which], profile.evaluate, base)
        self.protocol = open_protocol(profile.evaluate, profile.benchmark.sources)
        self.open_files: dict[str, ExitStack] = {}  # by the shard's name

    def endpoints(self) -> dict[str, Endpoint]:
        return {self.which: self.endpoint}

    def weights(self) -> Any:
        """What tells the model's weights from others; null where they are not here."""
        return self.depends_on(Shard("", {}))

    def start(self, shard: Shard) -> Iterable[Job[list[Row]]]:
        profile = self.params.chosen
        files = self.open_files[shard.name] = ExitStack()
        shelf = files.enter_context(Shelf(paths.PREDICTIONS, profile.drawing.cut))
        items = iter_rows(shard.files[BENCHMARK.name], BENCHMARK.schema, BENCHMARK.stage)
        asks = list_asks(items, shelf, profile.evaluate, self.params.seed, self.protocol)
        return ask_jobs(asks, self.models[self.which], self.endpoint.kind, profile.evaluate, profile.drawing.cut)

    def finish(self, shard: Shard, results: Sequence[list[Row]]) -> tuple[list[Row], Counts]:
        rows = [row for result in results for row in result]
        return rows, count_statuses(rows)

    def release(self, shard: Shard) -> None:
        if files := self.open_files.pop(shard.name, None):
            files.close()


def require_replies(counts: Counts) -> None:
    """Raise TableError where no call brought a reply. `counts`: of all shards."""
    require_ok_counts(counts, "reply", REMEDY)


def judge_table(folder: Path, params: Judge, seed: int, ledger: Ledger) -> dict[str, Any]:
    """The judge decides what the rules left open, over all shards of a table that is being made; its counts."""
    from r2i.endpoint import connect

    parts = [(path, read_table(path, PREDICTIONS, "evaluate", allow_empty=True))
             for path in table_parts(folder, PREDICTIONS, "evaluate")]  # fmt: skip
    with connect(params.endpoint) as judge:
        judged, found = judge_rows([row for _, rows in parts for row in rows], judge, params, seed, ledger)
    decided = iter(judged)
    for path, rows in parts:
        after = list(islice(decided, len(rows)))
        if after != rows:
            rewrite_part(path, after, PREDICTIONS)
    return found


def predict(
    model: Model,
    items: Iterable[Row],
    cfg: Evaluate,
    cut: Cut,
    seed: int,
    ledger: Ledger | None = None,
    kind: str = "local",
    scratch: Path = paths.PREDICTIONS,
    protocol: Protocol | None = None,
) -> list[Row]:
    """Rows of PREDICTIONS: one for each reply to each ok item (rows of BENCHMARK).

    `cut`: how the zoom view shows a region. `kind`: of the model's endpoint. `scratch`: folder that holds the pictures
    meanwhile: memory does not. Raises TableError where there is no ok item, or where every call failed.
    """
    ledger = ledger if ledger is not None else Ledger()
    with Shelf(scratch, cut) as shelf:
        asks = list_asks(items, shelf, cfg, seed, protocol)
        found = run_jobs(ask_jobs(asks, model, kind, cfg, cut), ledger, len(asks))
    rows = [row for given in found for row in given]
    ledger.require_replies("evaluate", sum(row["status"] == OK for row in rows))
    require_ok(rows, "reply", REMEDY)
    return rows


def list_asks(
    items: Iterable[Row], shelf: Shelf, cfg: Evaluate, seed: int, protocol: Protocol | None = None
) -> list[Ask]:
    """All asks about the items that are ok; their pictures lie on the shelf."""
    return [ask for item in items if item["status"] == OK for ask in plan(shelf.put(item), cfg, seed, protocol)]


def ask_jobs(asks: Iterable[Ask], model: Model, kind: str, cfg: Evaluate, cut: Cut) -> Iterator[Job[list[Row]]]:
    """Each view of each item is a job of its own, so that the calls to a server wait for no others."""
    return (ask_job(model, kind, ask, cfg.zoom, cut) for ask in asks)


def ask_job(model: Model, kind: str, ask: Ask, zoom: Zoom, cut: Cut) -> Job[list[Row]]:
    """The rows of one ask; `rejected` where its item has no such view."""
    if reason := missing_view(ask.item, ask.view):
        return rejected_rows(ask, reason)
    if ask.view == "zoom" and zoom.turns:
        return (yield from tool_job(model, kind, ask, zoom, cut))
    if ask.view == "zoom":
        return (yield from zoom_job(model, kind, ask, zoom, cut))
    request = request_of(ask)
    (replies,) = yield [(model, request)]
    tokens = tokens_of(replies)
    return [
        reply_row(ask, ask.samples[at], kind, request, reply, tokens[at], forwards=len(request.images))
        for at, reply in enumerate(replies)
    ]
