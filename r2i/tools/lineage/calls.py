"""The model calls behind a row: who was asked with which prompt, and what is still here of the reply."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from r2i.core import paths
from r2i.core.errors import R2IError
from r2i.core.params import IN_PROCESS
from r2i.core.prompts import ROOT
from r2i.core.tables import Row
from r2i.endpoint.archive import open_archive
from r2i.endpoint.store import Store
from r2i.repo.git import ask_git, run_git
from r2i.tools.replies.show import find_request

PROMPTS = {  # what was asked for -> room and name of its prompt
    "list": "crop/list",
    "write": "question/write",
    "check": "question/validate",
    "answer": "answer/answer",
    "judge": "vote/judge",
    "distractors": "overlay/distractors",
    "try": "mcq/choose",
}


def call(step: str, columns: Mapping[str, Any] | None, **about: Any) -> list[Row]:
    """The call in the columns of r2i.core.provenance.CALL, told in full; [] where none was made."""
    if not columns or not columns.get("model"):
        return []
    sha256 = columns["prompt_sha256"] or ""
    told = {"step": step, **about, "model": columns["model"], "endpoint": columns["endpoint"]}
    return [
        told
        | {"sampling": json.loads(columns["sampling"] or "null"), "prompt_sha256": sha256}
        | {"prompt": prompt_of(sha256, step), "reply_key": columns["reply_key"]}
        | {"reply": reply_of(columns["reply_key"], columns["endpoint"])}
    ]


def calls_of(row: Row, region: Row, question: Row, vote: Row, answers: Iterable[Row]) -> list[Row]:
    """All calls in the order in which they were made; any of the rows may be {}."""
    found = call("list", region.get("listing")) + call("write", question) + call("check", question.get("check"))
    for answer in answers:
        about = {name: answer[name] for name in ("teacher", "sample", "answer", "status", "reason")}
        found += call("answer", answer, **about, said=answer["reply"])
    found += call("judge", vote.get("judge"))
    for step, column in (("distractors", "distractor_calls"), ("try", "try_calls")):
        for number, columns in enumerate(row.get(column) or []):
            found += call(step, columns, number=number)
    return found


def reply_of(key: str, endpoint: str) -> Row:
    """What the store or the archive holds under `key`. `kept`: where; "" where it does not, then `why`."""
    if endpoint in IN_PROCESS:
        return {"kept": "", "why": "in process: not kept, it is made again by running the stage"}
    store, folder = Store(paths.reply_store(), paths.reply_archive()), paths.reply_archive()
    try:
        stored, sample = find_request(store, open_archive(folder), key)
    except R2IError as error:
        return {"kept": "", "why": error.cause}
    if sample is None:
        return {"kept": "", "why": f"{key} names no sample"}
    located = stored.samples[sample]
    reply, place = located.reply, located.place
    state = {"status": reply.status, "reason": reply.reason, "text": reply.text}
    return {"kept": place, **state, "tokens_in": reply.tokens_in, "tokens_out": reply.tokens_out}


def prompt_of(sha256: str, step: str) -> Row:
    """Which prompt file has this hash: one of this revision, else one of git's history, else none.

    `file`: its path; `now`: whether that file still has it; `commit`: where only history has it, the last commit
    that changed from or to it.
    """
    here = prompt_files().get(sha256, [])
    if here:
        room, name = PROMPTS[step].split("/")
        own = [path for path in here if path.startswith(f"r2i/{room}/") and path.endswith(f"/{name}.txt")]
        return {"file": (own or here)[0], "now": True, "commit": ""}
    path, blob = _past_prompts().get(sha256, ("", ""))
    commit = ask_git("log", "-1", "--all", "--format=%H", f"--find-object={blob}") if blob else ""
    return {"file": path, "now": False, "commit": commit}


@cache
def prompt_files() -> dict[str, list[str]]:
    """Paths of this revision's prompt files by the sha256 of their bytes."""
    found: dict[str, list[str]] = {}
    for path in sorted(ROOT.glob("*/prompts/*/*.txt")):
        name = path.relative_to(ROOT.parent).as_posix()
        found.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), []).append(name)
    return found


@cache
def _past_prompts() -> dict[str, tuple[str, str]]:
    """(path, blob) of every prompt file that git knows, by the sha256 of its bytes."""
    listed = ask_git("rev-list", "--objects", "--all", "--", "r2i")  # it takes no globs
    found = {}
    for line in listed.splitlines():
        blob, _, path = line.partition(" ")
        if path.endswith(".txt") and "/prompts/" in path:
            found[_blob_sha256(blob)] = (path, blob)
    return found


def _blob_sha256(blob: str) -> str:
    return hashlib.sha256(run_git("cat-file", "blob", blob)).hexdigest()


def prompt_text(path: str) -> str:
    """Of a prompt file of this revision."""
    return (ROOT.parent / Path(path)).read_text(encoding="utf-8").rstrip("\n")
