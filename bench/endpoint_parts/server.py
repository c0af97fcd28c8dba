"""A chat-completions server that queues as vLLM does, fails to order, and counts what it was paid for.

Every text is a function of (prompt, seed, index), every latency and fault of these and the attempt: nothing
depends on the order in which calls come. Start it with r2i's own Python through serving.py; it ends when its
standard input is closed, so that it never outlives who started it.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from typing import Any

from bench.endpoint_parts.http1 import Answer, Connection
from bench.endpoint_parts.plan import Call, Plan, completion, draw, read_call, say
from r2i.core.ids import unit_of


class Generator:
    """Slots for sequences under way, of one model."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.slots, self.busy = plan, asyncio.Semaphore(plan.capacity), 0
        self.latencies: list[float] = []  # as drawn, seconds, of the sequences that came to their end

    async def generate(self, call: Call) -> None:
        """Wait as long as `call.n` sequences take: each for a slot of its own, then for its own latency."""
        if call.n == 1:
            await self._sequence(call, 0)
            return
        async with asyncio.TaskGroup() as group:
            for index in range(call.n):
                group.create_task(self._sequence(call, index))

    async def _sequence(self, call: Call, index: int) -> None:
        mean, sigma = self.plan.latency_s, self.plan.sigma
        draw = random.Random(f"{self.plan.seed}/{call}/{index}").lognormvariate(-(sigma**2) / 2, sigma) * mean
        async with self.slots:
            self.busy += 1
            try:
                await asyncio.sleep(draw)
                self.latencies.append(draw)
            finally:
                self.busy -= 1


class FaultServer:
    """Answers, and counts: `attempts` and `served` by call, `samples`: choices that went out."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.generators: dict[str, Generator] = {}
        self.attempts: Counter[Call] = Counter()
        self.served: Counter[Call] = Counter()
        self.samples: Counter[Call] = Counter()
        self.faults: Counter[str] = Counter()
        self.in_flight = self.most_in_flight = self.abandoned = self.bytes_in = 0

    async def handle(self, target: str, body: bytes) -> Answer:
        if target == "POST /v1/chat/completions":
            return await self.chat(body)
        if target == "GET /counts":
            return Answer(json.dumps(self.counts()).encode())
        if target == "GET /calls":
            return Answer(json.dumps(self.calls()).encode())
        return Answer(b'{"error": {"message": "no such page"}}', 404)

    async def chat(self, raw: bytes) -> Answer:
        self.bytes_in += len(raw)
        call, images = read_call(json.loads(raw))
        self.attempts[call] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self.answer(call, images, self.draw(call))
        except asyncio.CancelledError:
            self.abandoned += 1  # the client is gone: as in vLLM the call ends here
            raise
        finally:
            self.in_flight -= 1

    def draw(self, call: Call) -> str:
        """The fault of this attempt, or none."""
        number, kinds = unit_of("fault", self.plan.seed, *call, self.attempts[call]), self.plan.kinds
        return kinds[int(number / self.plan.faults * len(kinds))] if number < self.plan.faults else ""

    async def answer(self, call: Call, images: int, fault: str) -> Answer:
        if call.model not in self.generators:
            self.generators[call.model] = Generator(self.plan)
        generator = self.generators[call.model]
        if not fault and self.plan.reject and generator.busy + call.n > self.plan.capacity:
            fault = "429"
        self.faults.update([fault] if fault else [])
        if fault in ("429", "429_after"):
            headers = {"Retry-After": str(self.plan.retry_after_s)} if fault == "429_after" else {}
            return Answer(b'{"error": {"message": "too many requests"}}', 429, headers=headers)
        if fault == "500":
            return Answer(b'{"error": {"message": "internal error"}}', 500)
        if fault == "503_html":
            return Answer(b"<html><body><h1>503 Service Unavailable</h1></body></html>", 503, "text/html")
        if fault == "stall":
            await asyncio.Event().wait()  # until the client gives up
        await generator.generate(call)
        return self.reply(call, images, fault)

    def reply(self, call: Call, images: int, fault: str) -> Answer:
        """A completion, as far as `fault` lets it be one; only one with choices counts as paid."""
        count = {"no_choices": 0, "fewer_choices": call.n - 1}.get(fault, call.n)
        scripted = next((replies for part, *replies in self.plan.script if part in call.prompt), None)
        asked = [(call.prompt, call.seed, index) for index in range(count)]
        texts = [say(*one) if scripted is None else draw(tuple(scripted), *one) for one in asked]
        if fault == "length":
            texts = [text[: len(text) // 2] for text in texts]
        elif fault == "refusal":
            texts = [""] * count
        finish = {"length": "length", "refusal": "content_filter"}.get(fault, "stop")
        body = json.dumps(completion(call, images, texts, finish)).encode()
        if fault == "bad_json":
            return Answer(body[: len(body) // 2])
        if fault in ("stall_in_body", "cut_in_body"):
            return Answer(body, cut="stall" if fault == "stall_in_body" else "close")
        return Answer(body, sent=(lambda: self.pay(call, count)) if count else None)

    def pay(self, call: Call, samples: int) -> None:
        self.served[call] += 1
        self.samples[call] += samples

    def calls(self) -> list[dict[str, Any]]:
        return [
            {**call._asdict(), "served": served, "samples": self.samples[call]} for call, served in self.served.items()
        ]

    def counts(self) -> dict[str, Any]:
        drawn = [latency for generator in self.generators.values() for latency in generator.latencies]
        return {
            "received": self.attempts.total(),
            "distinct": len(self.attempts),
            "served": self.served.total(),
            "served_distinct": len(self.served),
            "served_samples": self.samples.total(),
            "abandoned": self.abandoned,
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "megabytes_in": self.bytes_in / 1e6,
            "faults": dict(self.faults),
            "latency_mean_s": sum(drawn) / max(1, len(drawn)),
            "latency_max_s": max(drawn, default=0.0),
            "sequences": len(drawn),
        }


async def run(plan: Plan) -> None:
    """Serve until standard input is closed. The first line of output is the port."""
    loop = asyncio.get_running_loop()
    server = FaultServer(plan)
    http = await loop.create_server(lambda: Connection(server.handle), "127.0.0.1", 0, backlog=1024)
    print(http.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def read_plan(text: str) -> Plan:
    """A plan from JSON, which knows no tuples."""
    told = json.loads(text)
    return Plan(**told | {"kinds": tuple(told["kinds"]), "script": tuple(map(tuple, told["script"]))})


if __name__ == "__main__":
    asyncio.run(run(read_plan(sys.argv[1])))
