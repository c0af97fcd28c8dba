"""Hostile servers, records and segments: what is lost, invented, paid twice, let in, or ends in a traceback.

`try_replies` and `try_stores` return counts; `bench/faults.py` adds them up. Every hostile answer stands among good
ones. `lost`: a good reply that is not in a row, or a request that can't be asked again; `invented`: an answer that the
server did not give to that prompt; `let_in`: a key, an escape or a foreign reply where none may be.
"""

import gzip
import json
import os
import random
import sqlite3
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from endpoint.fake_server import Answer, Server, choices, echo, serve
from endpoint.made_replies import made_call, made_key, made_record, made_request

from r2i.core.errors import R2IError
from r2i.core.images import file_sha256
from r2i.core.params import Endpoint, Sampling
from r2i.core.records import OK
from r2i.endpoint.archive import Archive
from r2i.endpoint.base import Reply, Request
from r2i.endpoint.record import Record, write_record
from r2i.endpoint.remote import RemoteModel
from r2i.endpoint.store import Store
from r2i.tools.replies.segments import write_segments

SEED = 16
FLIPS = 150  # damaged copies of each whole body, record and segment
KEY_VARIABLE = "R2I_FAULTS_KEY"
KEY = "sk-ab/cd-0123456789"
COUNTS = ("tried", "lost", "invented", "paid_twice", "let_in", "tracebacks")
Damage = Callable[[Path], None]


@dataclass(frozen=True)
class Hostile:
    """An answer to one of a run's prompts. `is_sound`: its text may be an answer, e.g. of a body with a flipped bit.

    `final`: reasons with which it may be stored for good.
    """

    answer: Answer
    is_sound: bool = False
    final: frozenset[str] = frozenset()


GIVEN = frozenset({"truncated", "refused", "empty"})
ENDINGS = (
    "length", "MAX_TOKENS", "model_length", "content_filter", "sensitive", "SAFETY", "RECITATION", "tool_calls",
    "function_call", "network_error", "error", "abort", "cancelled", "insufficient_system_resource", "repetition",
    "OTHER", "", None, 7, [], "\x1b[31m", "x" * 9999,
)  # fmt: skip
REFUSALS = (
    "Insufficient Balance", "Your credit balance is too low", "account in arrears", "quota exceeded", "Access denied",
    "image too large", "content_filter", "欠费", "\x1b[2J", KEY, "", "x" * 100_000,
)  # fmt: skip


def _error(status: int, message: Any, **headers: str) -> Answer:
    return Answer(json.dumps({"error": {"message": message, "code": message}}), status, headers)


def _good() -> bytes:
    return json.dumps(json.loads(choices("WRONG", "WRONG").body) | {"model": "big"}).encode()


def hostile_answers(elsewhere: str) -> Iterator[Hostile]:
    """Answers to a call for two samples that hold the text WRONG, if any. `elsewhere`: a server of another address."""
    for finish in ENDINGS:
        yield Hostile(choices("WRONG", "WRONG", finish=finish), final=GIVEN)  # type: ignore[arg-type]
    for status in (400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 418, 422, 425, 429, 451, 500, 503, 529):
        for message in REFUSALS:
            yield Hostile(_error(status, message), final=frozenset({"bad_request", "refused"}))
    for status in (300, 301, 302, 303, 304, 305, 307, 308):
        for target in (f"{elsewhere}/chat/completions", "/v1/page", "//x.invalid", "http://[::1", "", "\x1b[2J"):
            yield Hostile(Answer("", status, {"Location": target}))
    for value in ("nan", "inf", "-1", "1e999", "9" * 400, "Fri, 31 Dec 99999999 23:59:59 GMT", "²"):
        yield Hostile(Answer("{}", 429, {"Retry-After": value}))
    good = _good()
    for number in ("-1", "1e999", "NaN", "Infinity", "1" + "0" * 30, '"x"', "[]"):
        usage = good.replace(b"null", b'{"prompt_tokens": %s, "completion_tokens": %s}' % ((number.encode(),) * 2))
        yield Hostile(Answer(usage), is_sound=True)
    for body in (
        b"", b"null", b"[]", b"\0" * 999, b"[" * 30_000, b'{"choices":' * 30_000, b"9" * 9000, b"<html>", b"data: {}\n",
        good + good, good[:-1], good.replace(b'"index": 1', b'"index": 0'), good.replace(b'"index"', b'"indices"', 1),
        good.replace(b'"content"', b'"content": "x", "content"'), good.replace(b'"WRONG"', b'["WRONG"]}', 1),
        good.replace(b'"WRONG"', b'[{"type": "reasoning", "text": "WRONG"}]'), good.replace(b'"WRONG"', b'"\xff"'),
        good.replace(b'"WRONG"', b'{"text": "WRONG"}'), good.decode().encode("utf-16"),
        b'{"error": {"message": "no", "code": 503}, ' + good[1:], b'{"error": "Insufficient Balance", ' + good[1:],
        good.replace(b'"finish_reason"', b'"error": {"code": 502}, "finish_reason"'),
        good.replace(b'"big"', b'"tiny-1b"'), b'{"x": "' + b"x" * 5_000_000 + b'", ' + good[1:],
        b'{"choices": [' + b"{}," * 300_000 + b"{}]}",
    ):  # fmt: skip
        yield Hostile(Answer(body), final=GIVEN)
    for packing in ("gzip", "deflate", "br", "zstd", "gzip, gzip", "\x1b"):
        for data in (good, gzip.compress(bytes(10**8)), zlib.compress(bytes(10**8)), gzip.compress(good)[:-9]):
            yield Hostile(Answer(data, 200, {"Content-Encoding": packing}))
    yield Hostile(Answer(good, 200, {"Content-Type": "x; charset=undefined"}), is_sound=True)
    for escaped in (KEY, KEY.replace("/", "\\/"), "".join(f"\\u{ord(char):04x}" for char in KEY)):
        yield Hostile(Answer(good.replace(b"WRONG", escaped.encode())), is_sound=True)
        yield Hostile(Answer(f'{{"error": {{"message": "{escaped}"}}}}', 418))
        yield Hostile(Answer(f'{{"cut": "{escaped}', 500))
    draw = random.Random(SEED)
    for _ in range(FLIPS):
        yield Hostile(Answer(good[: draw.randrange(len(good))]))
        data = bytearray(good)
        for _ in range(draw.choice((1, 1, 4, 16))):
            data[draw.randrange(len(data))] = draw.randrange(256)
        yield Hostile(Answer(bytes(data)), is_sound=True, final=GIVEN)


@dataclass
class Run:
    """One hostile answer in a run of five prompts. `is_hostile`: whether the server gives it, or has been mended."""

    number: int
    hostile: Hostile
    folder: Path
    is_hostile: bool = True
    paid: Counter[str] = field(default_factory=Counter)  # good samples by prompt

    def requests(self) -> list[Request]:
        names = ("a", "b", "HOSTILE", "c", "d")
        return [Request(f"{self.number} {name}", (), Sampling(temperature=0.7), 5, 2) for name in names]

    def answer(self, body: dict[str, Any]) -> Answer:
        prompt = str(body["messages"][0]["content"][-1]["text"])
        if self.is_hostile and "HOSTILE" in prompt:
            return self.hostile.answer
        self.paid[prompt] += body.get("n", 1)
        made = json.loads(echo(body).body)
        return Answer(json.dumps(made | {"model": "big"}))

    def ask(self, server: Server) -> list[list[Reply]]:
        settings: dict[str, Any] = {"retries": 1, "timeout_s": 10, "patience_s": 1, "api_key_env": KEY_VARIABLE}
        params = Endpoint(kind="openai", model="big", base_url=server.url, **settings)
        server.answer = self.answer
        return RemoteModel(params, Store(self.folder), backoff_s=0.001).complete(self.requests())

    def check(self, rows: list[list[Reply]], counts: Counter[str]) -> None:
        """Count what is wrong with the rows of a run that ended well."""
        for request, row in zip(self.requests(), rows, strict=True):
            is_own = "HOSTILE" in request.prompt and (self.is_hostile or self.hostile.is_sound)
            for reply in row:
                is_true = reply.text.startswith(f"{request.prompt}/")
                if reply.status == OK:
                    counts["invented"] += not (is_true or (is_own and self.hostile.is_sound))
                else:
                    is_final = "HOSTILE" in request.prompt and reply.reason in self.hostile.final
                    counts["lost"] += not (self.is_hostile and is_own) and not is_final


def try_replies(folder: Path) -> dict[str, int]:
    """Every hostile answer among good ones, in `folder`; then the same requests to the server once it is mended."""
    os.environ[KEY_VARIABLE] = KEY
    counts = Counter(dict.fromkeys(COUNTS, 0))
    with serve() as server, serve() as other:
        for number, hostile in enumerate(hostile_answers(other.url.replace("127.0.0.1", "localhost"))):
            counts["tried"] += 1
            run, said = Run(number, hostile, folder / str(number)), ""
            for is_hostile in (True, False):
                run.is_hostile = is_hostile
                try:
                    rows = run.ask(server)
                except R2IError as error:
                    counts["lost"] += not is_hostile
                    said += str(error)
                except Exception:
                    counts["tracebacks"] += 1
                else:
                    run.check(rows, counts)
                    said += repr(rows)
            counts["paid_twice"] += sum(max(0, samples - 2) for samples in run.paid.values())
            stored = b"".join(path.read_bytes() for path in run.folder.rglob("*.json"))
            counts["let_in"] += KEY in said or KEY.encode() in stored or "\x1b" in said or b"tiny-1b" in stored
        counts["let_in"] += len(other.calls) + other.gets + server.gets
    return dict(counts)


RECORDS = [made_record(number, {0: f"text {number}", 1: "x"}) for number in range(6)]
FORGED = [made_record(number, {0: "FORGED", 1: "FORGED"}) for number in range(6)]


def try_stores(folder: Path) -> dict[str, int]:
    """Damaged records of the live store and damaged, forged and hostile segments of the archive, in `folder`."""
    counts = Counter(dict.fromkeys(COUNTS, 0))
    for number, damage in enumerate(_record_damages()):
        store = Store(folder / f"store{number}")
        for record in RECORDS:
            store.write(record.key, record)
        damage(store.path(RECORDS[0].key))
        _look(store, 0, counts)
    for number, damage in enumerate(_segment_damages()):
        place = folder / f"archive{number}"
        _write(place, RECORDS[:3])
        (path,) = _write(place, RECORDS[3:])
        damage(path)
        store = Store(folder / f"beside{number}")
        store.archive = Archive(place)
        _look(store, 3, counts)
    place = folder / "foreign"
    _write(place, FORGED)
    store = Store(folder / "own", place)
    for record in RECORDS:
        store.write(record.key, record)
    _look(store, 0, counts)
    return dict(counts)


def _look(store: Store, first: int, counts: Counter[str]) -> None:
    """Read all keys: those before `first`, and after the first of the live store, are whole."""
    counts["tried"] += 1
    for number, record in enumerate(RECORDS):
        try:
            found = store.find(record.key)
        except R2IError:
            counts["lost"] += 1
            continue
        except Exception:
            counts["tracebacks"] += 1
            continue
        other = [reply for i, reply in found.items() if reply != record.replies.get(i)]
        counts["let_in"] += any(reply.text == "FORGED" for reply in other)
        counts["invented"] += any(reply.text != "FORGED" for reply in other)
        is_whole = number < first or (first == 0 and number > 0)
        counts["lost"] += is_whole and found != record.replies


def _write(folder: Path, records: list[Record]) -> list[Path]:
    return write_segments(folder, sorted((record.key, write_record(record)) for record in records))


def _flips(draw: random.Random) -> Iterator[Damage]:
    for _ in range(FLIPS):
        seed = draw.random()

        def flip(path: Path, seed: float = seed) -> None:
            own = random.Random(seed)
            data = bytearray(path.read_bytes())
            for _ in range(own.choice((1, 1, 4, 64))):
                data[own.randrange(len(data))] = own.randrange(256)
            path.write_bytes(data[: own.choice((len(data), own.randrange(1, len(data))))])

        yield flip


def _replace_by(make: Damage) -> Damage:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


def _write_holes(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**42)


OTHERS = [_replace_by(os.mkfifo), _replace_by(_write_holes),
          _replace_by(lambda path: path.symlink_to(path)), _replace_by(lambda path: path.write_bytes(b""))]  # fmt: skip


def _record_damages() -> Iterator[Damage]:
    yield from _flips(random.Random(SEED))
    yield from OTHERS
    yield lambda path: Path.write_bytes(path, write_record(RECORDS[1])) and None
    for tokens in (-1, 10**30, 1e999, True, None, "7", []):
        yield lambda path, tokens=tokens: path.write_bytes(_signed(tokens)) and None  # type: ignore[misc]


def _signed(tokens: Any) -> bytes:
    """A record with a true sha256 and a count of tokens that is none."""
    reply = Reply("FORGED", OK, "", f"{made_key(0)}/0", "big", tokens, 1)
    return write_record(Record(made_request(0).parts("big"), "f" * 64, {0: reply}, [made_call(0)]))


def _segment_damages() -> Iterator[Damage]:
    yield from _flips(random.Random(SEED + 1))
    yield from [*OTHERS, _replace_by(Path.mkdir)]
    yield lambda path: path.write_bytes(_write(path.parent.parent / "forged", FORGED[3:])[0].read_bytes()) and None
    for statements in (
        ("UPDATE records SET body = x'00'",),
        ("UPDATE records SET body = 5",),
        ("UPDATE prefixes SET keys = x'0011'",),
        ("DROP TABLE prefixes",),
        ("DROP TABLE records", "CREATE VIEW records AS SELECT zeroblob(900000000) AS key, zeroblob(900000000) AS body"),
        ("CREATE TABLE more (x)",),
    ):
        yield lambda path, statements=statements: _alter(path, statements)  # type: ignore[misc]
    bomb = zlib.compress(bytes(2**28), 9)
    yield lambda path: _alter(path, ("UPDATE records SET body = ?",), (bomb,))


def _alter(path: Path, statements: tuple[str, ...], values: tuple[Any, ...] = ()) -> None:
    """Change a segment and give it the name of its bytes: whoever made it meant it so."""
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement, values)
    connection.close()
    path.rename(path.with_name(f"{file_sha256(path)}.sqlite"))
