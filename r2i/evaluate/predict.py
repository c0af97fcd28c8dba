"""Ask a model every benchmark question in every view, and score what it says."""

from collections.abc import Iterable
from pathlib import Path

from r2i.core.metrics import require_ok
from r2i.core.params import Cut, Evaluate, Zoom
from r2i.core.paths import PREDICTIONS
from r2i.core.records import OK
from r2i.endpoint.base import Model
from r2i.endpoint.flow import Job, run_jobs
from r2i.endpoint.ledger import Ledger
from r2i.evaluate.plan import Ask, plan, request_of
from r2i.evaluate.rows import Row, rejected_rows, reply_row, tokens_of
from r2i.evaluate.views import Shelf, missing_view
from r2i.evaluate.zoom import zoom_job


def predict(
    model: Model,
    items: Iterable[Row],
    cfg: Evaluate,
    cut: Cut,
    seed: int,
    ledger: Ledger | None = None,
    kind: str = "local",
    scratch: Path = PREDICTIONS,
) -> list[Row]:
    """Rows of PREDICTIONS: one for each reply to each ok item (rows of BENCHMARK).

    `cut`: how the zoom view shows a region. `kind`: of the model's endpoint. `scratch`: folder that holds the pictures
    meanwhile: memory does not. Each view of each item is a job of its own, so that the calls to a server wait for no
    others. Raises TableError where there is no ok item, or where every call failed.
    """
    ledger = ledger if ledger is not None else Ledger()
    with Shelf(scratch) as shelf:
        kept = [shelf.put(item) for item in items if item["status"] == OK]
        asks = [ask for item in kept for ask in plan(item, cfg, seed)]
        found = run_jobs((ask_job(model, kind, ask, cfg.zoom, cut) for ask in asks), ledger, len(asks))
    rows = [row for given in found for row in given]
    ledger.require_replies("evaluate", sum(row["status"] == OK for row in rows))
    require_ok(rows, "reply", "look at metrics/benchmark.json, then see that the model can be called")
    return rows


def ask_job(model: Model, kind: str, ask: Ask, zoom: Zoom, cut: Cut) -> Job[list[Row]]:
    """The rows of one ask; `rejected` where its item has no such view."""
    if reason := missing_view(ask.item, ask.view):
        return rejected_rows(ask, reason)
    if ask.view == "zoom":
        return (yield from zoom_job(model, kind, ask, zoom, cut))
    request = request_of(ask)
    (replies,) = yield [(model, request)]
    tokens = tokens_of(replies)
    return [
        reply_row(ask, ask.samples[at], kind, request, reply, tokens[at], forwards=1)
        for at, reply in enumerate(replies)
    ]
