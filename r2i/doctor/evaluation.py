"""How a profile's evaluation asks: its protocol, and the prompts and pictures of the items that are here."""

from collections.abc import Iterator
from pathlib import Path

from r2i.core import paths
from r2i.core.errors import ImageError, R2IError
from r2i.core.images import read_size
from r2i.core.names import VIEWS
from r2i.core.params import Endpoint, Evaluate, Params
from r2i.core.records import BENCHMARK, OK
from r2i.core.tables import iter_rows
from r2i.doctor.check import Check, collected
from r2i.doctor.rows import find_processor
from r2i.endpoint.local import MAX_ASPECT
from r2i.evaluate.protocol import Protocol, open_protocol
from r2i.evaluate.views import PROMPTED, check_prompts, prompt_of
from r2i.tools.cost import Scale, planned
from r2i.train.openrlhf.model import read_model_facts
from r2i.train.tokens import Tokens, token_counter

LENGTH_FLAG = "--max-model-len"  # of vLLM


def check_evaluation(params: Params, stages: set[str], own: bool) -> Iterator[Check]:
    """`own`: whether the benchmark items that are here are of this profile."""
    names = [name for name in params.evaluated if f"evaluate@{name}" in stages]
    if names:
        yield from collected("evaluate", _check(params, names, own))


def _check(params: Params, names: list[str], own: bool) -> Iterator[Check]:
    cfg = params.chosen.evaluate
    protocol = open_protocol(cfg, params.chosen.benchmark.sources)
    if protocol:
        yield _protocol(cfg, protocol)
    if not own or not paths.BENCHMARK.is_dir():
        return
    check_prompts(iter_rows(paths.BENCHMARK, BENCHMARK, "benchmark", columns=PROMPTED), cfg, protocol)
    base = params.chosen.train.base if params.chosen.has("train") else ""
    asked = {use.stage: use.endpoint for use in reversed(planned(params, Scale(1, 1, 1)))}  # its first use is the model
    seen = set()
    for name in names:
        endpoint = asked[f"evaluate@{name}"]
        model = endpoint.model if Path(endpoint.model).is_dir() or not base else base
        if (model, room := _room(endpoint, model)) not in seen:
            seen.add((model, room))
            yield _pictures(cfg, protocol, model, room)


def _protocol(cfg: Evaluate, protocol: Protocol) -> Check:
    """What params say of decoding and the protocol decides is told: it would be taken for what was done."""
    decodings = [protocol.decoding, *(one.decoding for one in protocol.wordings.values() if one.decoding)]
    lengths = sorted({one.max_tokens for one in decodings})
    said = f"{protocol.name} ({protocol.kind}): replies of up to {' or '.join(f'{n:,}' for n in lengths)} tokens"
    unused = [f"max_tokens {cfg.max_tokens:,}"] if "max_tokens" in cfg.model_fields_set else []
    if "temperature" in cfg.model_fields_set and cfg.samples and all(one.temperature > 0 for one in decodings):
        unused.append(f"temperature {cfg.temperature:g}")
    if not unused:
        return Check("evaluate: protocol", "ok", said)
    found = f"{said}; evaluate's {' and '.join(unused)} {'is' if len(unused) == 1 else 'are'} not used"
    return Check("evaluate: protocol", "note", found, "leave it out of params, or change the protocol's file")


def _room(endpoint: Endpoint, model: str) -> int | None:
    """Tokens of a prompt with its reply; None where nothing is known of it."""
    if endpoint.kind not in ("local", "vllm"):
        return None
    for at, flag in enumerate(endpoint.flags):
        name, is_one, value = flag.partition("=")
        if name == LENGTH_FLAG:
            told = value if is_one else (endpoint.flags[at + 1 : at + 2] or [""])[0]
            return int(told) if told.isdigit() else None
    try:
        facts = read_model_facts(model)
    except R2IError:  # the check of weights says so
        return None
    return facts.positions if facts else None


def _pictures(cfg: Evaluate, protocol: Protocol | None, model: str, room: int | None) -> Check:
    """The pictures that views show: too narrow ones, and prompts with them that leave no room for the longest reply.

    Sizes are read, pixels are not.
    """
    what = f"evaluate: pictures for {model}"
    columns = sorted({VIEWS[view].column for view in cfg.views if view != "blind"})
    count = _counter(model)
    items, longest, narrow, long = 0, 0, set[str](), set[str]()
    for item in iter_rows(paths.BENCHMARK, BENCHMARK, "benchmark", columns=[*PROMPTED, *columns]):
        if item["status"] != OK:
            continue
        items += 1
        reply = protocol.decoding_of(item).max_tokens if protocol else cfg.max_tokens
        prompt = prompt_of(item, "full", cfg.prompts, protocol)
        for column in columns:
            if item[column] is None:
                continue
            width, height = _sent(item[column], protocol)
            if max(width, height) > MAX_ASPECT * min(width, height):
                narrow.add(item["item_id"])
            elif count:
                try:
                    tokens = count(prompt, width, height)
                except ImageError:
                    narrow.add(item["item_id"])
                    continue
                longest = max(longest, tokens)
                if room and tokens + reply > room:
                    long.add(item["item_id"])
    found = f"{items:,} items" + (f"; the longest prompt has {longest:,} tokens" if count else "; no processor here")
    found += f" of {room:,} with its reply" if count and room else ""
    remedies = []
    if narrow:
        found += f"; {len(narrow):,} show a picture that is over {MAX_ASPECT}:1, and fail"
        remedies.append("see `r2i benchmark inspect`")
    if long:
        found += f"; {len(long):,} leave no room for the longest reply"
        remedies.append(f"scale pictures down (max_pixels of a protocol), shorten replies, or raise {LENGTH_FLAG}")
    return Check(what, "note" if remedies else "ok", found, "; ".join(remedies))


def _counter(model: str) -> Tokens | None:
    try:
        processor = find_processor(model)
    except R2IError:
        return None
    return token_counter(processor) if hasattr(processor, "_get_num_multimodal_tokens") else None


def _sent(picture: bytes, protocol: Protocol | None) -> tuple[int, int]:
    """Its size as it is sent."""
    width, height = read_size(picture)
    limit = protocol.max_pixels if protocol else None
    scale = min(1.0, (limit / (width * height)) ** 0.5) if limit else 1.0
    return max(1, round(width * scale)), max(1, round(height * scale))
