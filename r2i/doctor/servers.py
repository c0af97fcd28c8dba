"""Each server of a profile, by one small call: a picture, a few samples, a seed, a schema, as the run will ask.

No reply is stored and nothing is retried, but for options that the server refuses; what it refuses is remembered as in
a run (r2i.endpoint.options), so that the run's own first calls need not find it out.
"""

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from r2i.core import paths
from r2i.core.errors import EndpointError
from r2i.core.images import jpeg_bytes
from r2i.core.params import Endpoint, Sampling
from r2i.core.servers import variable
from r2i.doctor.check import Check
from r2i.endpoint.base import Picture, Request
from r2i.endpoint.chat import Completion, chat_body, encode
from r2i.endpoint.client import ChatClient, read_key
from r2i.endpoint.faults import Failure
from r2i.endpoint.image_urls import image_urls
from r2i.endpoint.options import INSTEAD, ServerOptions, options_of
from r2i.endpoint.origin import is_same_model
from r2i.tools.cost import Use

SIDE = 128  # pixels of the picture
COLOUR = (220, 20, 20)
TOKENS = 32  # of a reply
ASKED = "What colour is the picture? Say one word."
FORM = json.dumps(
    {"name": "colour", "schema": {"type": "object", "properties": {"colour": {"type": "string"}},
                                  "required": ["colour"], "additionalProperties": False}}
)  # fmt: skip
TAKES = {"n": "n", "seed": "seed", "response_format": "JSON schema"}  # options, as readers call them


@dataclass(frozen=True)
class Server:
    """A server, and the most that the run asks of it in one request. `stages`: that call it."""

    endpoint: Endpoint
    stages: tuple[str, ...]
    pictures: int
    n: int
    form: bool

    @property
    def title(self) -> str:
        return self.endpoint.name or self.endpoint.model


def servers_of(uses: Iterable[Use]) -> list[Server]:
    """The servers that r2i doesn't start itself, in the order in which the run comes to them."""
    found: dict[tuple[str | None, str, str | None], Server] = {}
    for use in uses:
        end = use.endpoint
        if end.kind != "openai":
            continue
        key = (end.base_url or end.name, end.model, end.api_key_env)
        known = found.get(key) or Server(end, (), 0, 1, False)
        stages = (*known.stages, *(stage for stage in [use.stage] if stage not in known.stages))
        form = known.form or (use.form and end.enforce_form)
        found[key] = Server(known.endpoint, stages, max(known.pictures, use.images), max(known.n, use.n), form)
    return list(found.values())


def check_keys(servers: Sequence[Server]) -> list[Check]:
    """Each variable that holds a key: whether it is set, never what it holds."""
    checks = []
    for name in dict.fromkeys(server.endpoint.api_key_env for server in servers):
        if name is None:
            continue
        users = [server for server in servers if server.endpoint.api_key_env == name]
        said = "of " + ", ".join(server.title for server in users)
        try:
            read_key(users[0].endpoint)
            checks.append(Check(f"key ${name}", "ok", f"set; {said}"))
        except EndpointError as error:
            checks.append(Check(f"key ${name}", "not ok", f"not set, or no key; {said}", error.remedy))
    return checks


def check_servers(servers: Sequence[Server], timeout_s: float) -> list[Check]:
    """All servers at once. `timeout_s`: of one call; a server takes twice that at most."""

    async def ask_all() -> list[Check]:
        return list(await asyncio.gather(*(_check(server, timeout_s) for server in servers)))

    return asyncio.run(ask_all())


async def _check(server: Server, timeout_s: float) -> Check:
    what, name = f"server {server.title}", server.endpoint.name or ""
    if not server.endpoint.base_url:
        remedy = f"export {variable(name)}=http://host:8000/v1, or write it into servers.yaml"
        return Check(what, "not ok", "its address is not known here", remedy)
    try:
        async with asyncio.timeout(2 * timeout_s):
            return await _ask(server, what, timeout_s)
    except EndpointError as error:
        return Check(what, "not ok", error.cause, error.remedy)
    except TimeoutError:
        return _silent(server, what, f"no reply in {2 * timeout_s:g} s")


def _silent(server: Server, what: str, detail: str) -> Check:
    remedy = "see that it is up and its address is right; one that loads its model at the first call: run this again"
    return Check(what, "not ok", f"{server.endpoint.base_url}: {detail}", remedy)


async def _ask(server: Server, what: str, timeout_s: float) -> Check:
    params = server.endpoint.model_copy(update={"timeout_s": timeout_s})
    client = ChatClient(params, params.base_url or "")
    learned = ServerOptions(paths.reply_store().parent / "servers", params.base_url or "", params.model)
    request = _request(server)
    started = time.monotonic()
    try:
        outcome = await _call(client, learned, params, request)
        seconds = time.monotonic() - started
        if isinstance(outcome, Completion):
            return _verdict(server, what, learned, outcome, seconds)
        if outcome.transient:
            return _silent(server, what, outcome.detail)
        blind = await _call(client, learned, params, replace(request, images=())) if server.pictures else outcome
    finally:
        await client.close()
    if isinstance(blind, Completion):
        remedy = "serve a model that sees, and as many pictures a prompt (vLLM: --limit-mm-per-prompt)"
        return Check(what, "not ok", f"refuses {server.pictures} pictures: {outcome.detail}", remedy)
    return Check(what, "not ok", f"refuses a small call: {outcome.detail}", "see its log and docs/endpoints.md")


def _request(server: Server) -> Request:
    red = Picture.of(jpeg_bytes(Image.new("RGB", (SIDE, SIDE), COLOUR)))
    sampling = Sampling(temperature=0.7 if server.n > 1 else 0.0, top_p=0.9 if server.n > 1 else 1.0, max_tokens=TOKENS)
    form = FORM if server.form else None
    return Request(ASKED, (red,) * server.pictures, sampling, seed=0, n=server.n, form=form)


async def _call(client: ChatClient, learned: ServerOptions, params: Endpoint, request: Request) -> Completion | Failure:
    """One call, made again without each option that the server refuses by name; it is remembered if that helps."""
    n = request.n if params.samples_in_one else 1
    noted: list[str] = []
    while True:
        options = learned.sent(options_of(request, n, params.enforce_form))
        count = n if "n" in options else 1
        with image_urls(request.images, params.image_folder) as urls:
            data = encode(chat_body(params.model, request, count, 0, options), urls)
            outcome = await client.send(data, request, count, options, answered=False)
        if isinstance(outcome, Completion):
            learned.take(outcome.options, len(outcome.choices))
            return outcome
        fresh = learned.refuse(outcome.option, options[outcome.option], outcome.detail) if outcome.option else ""
        if not fresh:
            for name in noted:
                learned.forget(name)
            return outcome
        noted.append(fresh)


def _verdict(server: Server, what: str, learned: ServerOptions, completion: Completion, seconds: float) -> Check:
    """What a server that answers can and can't do. What it can't is no fault, but what it costs."""
    params = server.endpoint
    wanted = options_of(_request(server), server.n if params.samples_in_one else 1, params.enforce_form)
    takes = [word for name, word in TAKES.items() if name in wanted and not learned.leaves_out(name, wanted[name])]
    lacks = [f"no {TAKES[name]}: {INSTEAD[name]}" for name in TAKES if name in wanted and learned.leaves_out(name)]
    seen = ["pictures"] if server.pictures else []
    price = f"price {params.price.input:g} / {params.price.output:g}" if params.price else "no price"
    parts = [f"{seconds:.1f} s", f"takes {', '.join([*seen, *takes]) or 'text'}", *lacks, price]
    served, text = completion.served_model, completion.choices[0].text.strip()
    if served and not is_same_model(params.model, served):
        parts.insert(1, f"answers as {served} where {params.model} was asked for")
        return Check(what, "note", "; ".join(parts), "see what it serves: rows will name the one that was asked for")
    parts.insert(1, f"answers as {served or params.model}")
    if server.pictures and not completion.choices[0].reason and "red" not in text.lower():
        parts.insert(2, f"says {text[:40]!r} of a red picture")
        return Check(what, "note", "; ".join(parts), "see whether the model gets the pictures that are sent")
    return Check(what, "ok", "; ".join(parts))
