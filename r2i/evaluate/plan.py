"""Which prompts an item gets: every view greedily, some views several times more with a temperature."""

from dataclasses import dataclass
from typing import Any

from r2i.core.ids import seed_of
from r2i.core.names import ViewName
from r2i.core.params import Evaluate, Sampling
from r2i.endpoint.base import Request
from r2i.evaluate.views import pictures_of, prompt_of, template_of

Row = dict[str, Any]


@dataclass(frozen=True)
class Ask:
    """One item in one view: its greedy reply (sample 0), or `n` sampled ones (samples 1 .. n).

    `item`: a row of BENCHMARK with Pictures in place of bytes. `seed`: of this ask alone.
    """

    item: Row
    view: ViewName
    sampling: Sampling
    n: int
    seed: int
    style: str

    @property
    def samples(self) -> range:
        """Numbers of its replies: column `sample`."""
        return range(1, self.n + 1) if self.sampling.temperature > 0 else range(1)


def plan(item: Row, cfg: Evaluate, seed: int) -> list[Ask]:
    """All asks about one item: `views` greedily, then `samples` replies in each of `sampled_views`."""
    greedy = Sampling(temperature=0.0, top_p=1.0, max_tokens=cfg.max_tokens)
    warm = Sampling(temperature=cfg.temperature, top_p=1.0, max_tokens=cfg.max_tokens)
    asks = [(view, greedy, 1) for view in cfg.views]
    asks += [(view, warm, cfg.samples) for view in cfg.sampled_views if cfg.samples]
    return [
        Ask(item, view, sampling, n, seed_of(seed, "evaluate", item["item_id"], view, sampling is warm), cfg.prompts)
        for view, sampling, n in asks
    ]


def request_of(ask: Ask) -> Request:
    """What is asked in a view that takes one step."""
    return Request(
        prompt=prompt_of(ask.item, ask.view, ask.style),
        images=pictures_of(ask.item, ask.view),
        sampling=ask.sampling,
        seed=ask.seed,
        n=ask.n,
        prompt_sha256=template_of(ask.item, ask.style).sha256,
    )
