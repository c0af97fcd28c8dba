"""Which prompts an item gets: every view once, some views several times more with a temperature."""

from dataclasses import dataclass
from typing import Any

from r2i.core.ids import seed_of
from r2i.core.names import ViewName
from r2i.core.params import Evaluate, Sampling
from r2i.endpoint.base import Picture, Request
from r2i.evaluate.protocol import Protocol
from r2i.evaluate.views import pictures_of, prompt_of, template_of

Row = dict[str, Any]


@dataclass(frozen=True)
class Ask:
    """One item in one view: its first reply (sample 0), or `n` sampled ones (samples 1 .. n).

    `item`: a row of BENCHMARK with Pictures in place of bytes. `seed`: of this ask alone.
    """

    item: Row
    view: ViewName
    sampling: Sampling
    n: int
    seed: int
    style: str
    protocol: Protocol | None = None
    is_first: bool = True

    @property
    def samples(self) -> range:
        """Numbers of its replies: column `sample`."""
        return range(1) if self.is_first else range(1, self.n + 1)

    @property
    def prompt(self) -> str:
        """What is asked in words, in its view."""
        return prompt_of(self.item, self.view, self.style, self.protocol)

    @property
    def prompt_sha256(self) -> str:
        """Of the text or the protocol that the prompt was made of."""
        return self.protocol.sha256 if self.protocol else template_of(self.item, self.style).sha256

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """What its view shows."""
        return tuple(map(self.sized, pictures_of(self.item, self.view)))

    def sized(self, picture: Picture) -> Picture:
        """As large as the protocol sends pictures."""
        return picture.within(self.protocol.max_pixels) if self.protocol else picture


def plan(item: Row, cfg: Evaluate, seed: int, protocol: Protocol | None = None) -> list[Ask]:
    """All asks about one item: `views` with one reply each, then `samples` replies in each of `sampled_views`.

    The first reply is decoded as the protocol says, greedily by our own; the sampled ones alike, but never greedily.
    """
    own = Sampling(temperature=0.0, top_p=1.0, max_tokens=cfg.max_tokens)
    first = protocol.decoding_of(item) if protocol else own
    warm = first if first.temperature > 0 else first.model_copy(update={"temperature": cfg.temperature})
    asks = [(view, first, 1, True) for view in cfg.views]
    asks += [(view, warm, cfg.samples, False) for view in cfg.sampled_views if cfg.samples]
    return [
        Ask(
            item, view, sampling, n, seed_of(seed, "evaluate", item["item_id"], view, not is_first), cfg.prompts,
            protocol, is_first,
        )
        for view, sampling, n, is_first in asks
    ]  # fmt: skip


def request_of(ask: Ask) -> Request:
    """What is asked in a view that takes one step."""
    return Request(
        prompt=ask.prompt,
        images=ask.pictures,
        sampling=ask.sampling,
        seed=ask.seed,
        n=ask.n,
        prompt_sha256=ask.prompt_sha256,
        text_first=bool(ask.protocol and ask.protocol.text_first),
    )
