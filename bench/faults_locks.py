"""Hostile locks, listings of remotes, checkpoints and params: what is lost, invented, let in, or ends in a traceback.

`try_locks` returns counts; `bench/faults.py` adds them up. `lost`: a lock or checkpoint that was whole and is not used,
or one that was put aside and is not kept; `invented`: a lock that says what no run has written; `let_in`: a listing, a
run-cache's entry, a damaged checkpoint, a secret or an unusable value that is taken; `tracebacks`: any exception but an
R2IError.
"""

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import yaml

from r2i.core import paths
from r2i.core.errors import R2IError
from r2i.core.params import load_params
from r2i.core.yaml_text import read_yaml
from r2i.repo.incoming import bring_checked
from r2i.repo.lock_repair import is_accepted, mend_lock
from r2i.train.resume import last_checkpoint, mark_complete

ROOT = Path(__file__).parent.parent
SEED = 16
CUTS = 120  # of each lock
DAMAGES = 250  # of a checkpoint
GIT = ("-c", "user.name=bench", "-c", "user.email=bench@example.org")

HEAD = "schema: '2.0'\nstages:\n"
A = f"{HEAD}  a:\n    cmd: 'true'\n"
OUT = "outs:\n    - path: x\n      hash: md5\n      md5: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n      size: 1\n"
WHOLE = {  # none of these was cut off, and DVC takes each
    "no stages": "schema: '2.0'\nstages: {}\n",
    "a stage without outs": f"{A}    deps:\n    - path: in\n      hash: md5\n      md5: {'a' * 32}\n"
    "      size: 1\n",
    "a dependency by URL": f"{A}    deps:\n    - path: https://host/in\n      etag: abc\n    {OUT}",
    "a checksum of another store": f"{A}    deps:\n    - path: s3://bucket/in\n      etag: xyz\n      size: 3\n"
    f"    {OUT}",
    "a command alone": f"{A}",
    "several commands": f"{HEAD}  a:\n    cmd:\n    - 'true'\n    - 'false'\n    {OUT}",
    "params alone": f"{A}    params:\n      params.yaml:\n        lr: 1e-06\n",
    "an old hash without its name": f"{A}    outs:\n    - path: x\n      md5: {'a' * 32}.dir\n      size: 9\n"
    "      nfiles: 2\n",
    "data sets": "schema: '2.0'\ndatasets:\n- {name: a, type: url, url: x}\n" + f"{A}    {OUT}".partition("\n")[2],
    "a comment": f"# ours\n{A}    {OUT}",
    "Windows line ends": f"{A}    {OUT}".replace("\n", "\r\n"),
}  # fmt: skip
BROKEN = {  # nor these, but DVC takes none of them
    "conflict marks": f"{HEAD}<<<<<<< HEAD\n  a:\n    cmd: 'true'\n=======\n  a:\n    cmd: 'false'\n>>>>>>> other\n",
    "conflict marks at the end": f"{A}    {OUT}<<<<<<< HEAD\n=======\n  b:\n    cmd: 'false'\n>>>>>>> other\n",
    "an unknown key": f"{A}    stuff: 1\n    {OUT}",
    "a stage without its command": f"{HEAD}  a:\n    {OUT}  b:\n    cmd: 'true'\n    {OUT}",
    "another schema": f"schema: '3.0'\nstages:\n  a:\n    cmd: 'true'\n    {OUT}",
    "a tab in the middle": f"{HEAD}\ta:\n    cmd: 'true'\n    {OUT}  b:\n    cmd: 'true'\n    {OUT}",
    "a key twice": f"{A}    {OUT}  a:\n    cmd: 'true'\n    {OUT}",
    "a list": "- 1\n- 2\n",
    "prose": "the lock is kept elsewhere\n",
    "deep": "[" * 10_000,
}  # fmt: skip

NAMES_ELSEWHERE = [
    "../stages/x.py", "../../x.py", "a/../../x.py", "/tmp/r2i-evil", "", ".", "..", "a//b", "a/.", "..\\x.py", "a\x00b",
    "C:/x", ".git/config", "sub/.git/hooks/post-checkout", ".dvc/config", ".GIT/config", "a" * 5000, "a\x1b[2Jb",
]  # fmt: skip

KEY = "s3cr3tS3cr3tS3cr3t0123"
BASE_URL, VARIABLE = "base_url: http://127.0.0.1:8000/v1", "api_key_env: R2I_TEACHER_KEY"
SECRETS = [
    (BASE_URL, f"base_url: http://user:{KEY}@host/v1"),
    (BASE_URL, f"base_url: https://{KEY}@host/v1"),
    (BASE_URL, f"base_url: https://host/v1?api-key={KEY}"),
    (BASE_URL, f"base_url: https://host/v1?api_version=2&k={KEY}"),
    (BASE_URL, f'base_url: "https://host/v1#token={KEY}"'),
    (BASE_URL, f"base_url: host.example/v1?key={KEY}"),
    (VARIABLE, f"api_key_env: sk-{KEY}"),
    (VARIABLE, f"api_key_env: hf_{KEY}"),
    (VARIABLE, f"api_key_env: {KEY}"),
    (VARIABLE, f"api_key_env: {KEY.upper()}"),
    (VARIABLE, 'api_key_env: ""'),
    (BASE_URL, f"{BASE_URL}\n        flags: [--api-key, {KEY}]"),
    (BASE_URL, f"{BASE_URL}\n        flags: [--api_key={KEY}]"),
    (BASE_URL, f"{BASE_URL}\n        flags: [--api-k, {KEY}]"),
    (BASE_URL, f"{BASE_URL}\n        flags: [--hf-token, {KEY}]"),
    (BASE_URL, f"{BASE_URL}\n        flags: [--ssl-keyfile-password, {KEY}]"),
    (BASE_URL, f'{BASE_URL}\n        flags: [--extra, \'{{"api_key": "{KEY}"}}\']'),
    (BASE_URL, f"{BASE_URL}\n        command: [env, HF_TOKEN={KEY}, vllm, serve]"),
    (BASE_URL, f"{BASE_URL}\n        command: [vllm, serve, --header, 'Authorization: Basic {KEY}']"),
    (BASE_URL, f"{BASE_URL}\n        env: {{HF_TOKEN: {KEY}}}"),
    (BASE_URL, f"{BASE_URL}\n        env: {{AWS_SECRET_ACCESS_KEY: {KEY}}}"),
    (BASE_URL, f"{BASE_URL}\n        env: {{HTTPS_PROXY: 'http://me:{KEY}@proxy:3128'}}"),
    ("title: Base", f"title: sk-proj-{KEY}"),
    (BASE_URL, f"{BASE_URL} # was sk-{KEY}"),
    (BASE_URL, f"{BASE_URL} # http://me:{KEY}@host/v1"),
    ("title: Base", f"title: ghp_{KEY}"),
]
UNUSABLE = [  # texts of params.yaml, beside the secrets
    "[" * 100_000, "{a: " * 5_000, "a: &a [*a]", "", "- 1", "seed: 0\x00", "seed: &a {<<: *a}", "a: 2020-13-45",
]  # fmt: skip
VALUES = [".inf", "-.inf", ".nan", "1e400", "inf", "-1", "cold"]  # of a temperature


def try_locks(folder: Path) -> dict[str, int]:
    """Counts: tried, lost, invented, let_in, tracebacks. `folder` is made and stays."""
    counts: Counter[str] = Counter(tried=0, lost=0, invented=0, let_in=0, tracebacks=0)
    for name, attempts in ATTEMPTS.items():
        place = folder / name
        place.mkdir(parents=True)
        with inside(place):
            for outcome in attempts(place):
                counts["tried"] += 1
                if outcome:
                    counts[outcome] += 1
    return dict(counts)


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """`folder` as the current one, without a state folder that is elsewhere."""
    before, root = Path.cwd(), os.environ.pop("DVC_ROOT", None)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        if root is not None:
            os.environ["DVC_ROOT"] = root


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def refused(call: Callable[[], object]) -> str:
    """ "": an error that says what to do; `let_in`: none; `tracebacks`: another exception."""
    try:
        call()
    except R2IError:
        return ""
    except Exception:
        return "tracebacks"
    return "let_in"


def cut_locks(folder: Path) -> Iterator[str]:
    """Locks cut anywhere, with git's lock in the background."""
    rng = random.Random(SEED)
    real = (ROOT / "dvc.lock").read_bytes()
    shutil.copy(ROOT / "dvc.yaml", folder)
    (folder / "dvc.lock").write_bytes(real)
    run("git", "init", "--quiet")
    run("git", "add", "-A")
    run("git", *GIT, "commit", "--quiet", "-m", "a run")
    known = {entry["md5"] for entry in entries_of(read_yaml(real.decode())) if "md5" in entry}
    names = set(read_yaml(real.decode())["stages"])
    for cut in sorted({*range(60), *(rng.randrange(len(real)) for _ in range(CUTS))}):
        (folder / "dvc.lock").write_bytes(real[:cut])
        yield outcome_of_cut(folder, real[:cut], known, names)


def entries_of(lock: Any) -> list[dict[str, Any]]:
    stages = (lock.get("stages") or {}).values()
    return [entry for stage in stages for role in ("deps", "outs") for entry in stage.get(role) or ()]


def outcome_of_cut(folder: Path, data: bytes, known: set[str], names: set[str]) -> str:
    try:
        aside = mend_lock()
    except R2IError:
        return "lost"  # git's lock was there to go on from
    except Exception:
        return "tracebacks"
    if aside and aside.read_bytes() != data:
        return "lost"
    text = (folder / "dvc.lock").read_text(encoding="utf-8", errors="replace")
    lock = read_yaml(text) if is_accepted(text) else {}
    half = {entry["md5"] for entry in entries_of(lock) if entry.get("md5")} - known
    return "invented" if not lock or half or set(lock["stages"]) - names else ""


def other_locks(folder: Path) -> Iterator[str]:
    """Locks that were not cut off, with another in git: each stays as it is."""
    (folder / "dvc.lock").write_text(f"{HEAD}  z:\n    cmd: 'true'\n    {OUT}")
    run("git", "init", "--quiet")
    run("git", "add", "-A")
    run("git", *GIT, "commit", "--quiet", "-m", "a run")
    for text in [*WHOLE.values(), *(text.rstrip("\r\n") for text in WHOLE.values()), *BROKEN.values()]:
        (folder / "dvc.lock").write_bytes(text.encode())
        outcome = refused(mend_lock) if text in BROKEN.values() else ""
        if text not in BROKEN.values():
            try:
                mend_lock()
            except Exception as error:
                outcome = "lost" if isinstance(error, R2IError) else "tracebacks"
        changed = (folder / "dvc.lock").read_bytes() != text.encode() or paths.torn_lock().exists()
        yield "lost" if changed else outcome


def listings(folder: Path) -> Iterator[str]:
    """A remote whose listings name files elsewhere, under the hash of their bytes and under another."""
    run("git", "init", "--quiet")
    run(sys.executable, "-m", "dvc", "init", "--quiet")
    run(sys.executable, "-m", "dvc", "remote", "add", "--local", "--default", "shared", str(folder / "remote"))
    entries = [[{"md5": "a" * 32, "relpath": name}] for name in NAMES_ELSEWHERE]
    entries += [[{"md5": md5, "relpath": "a"}] for md5 in ("../" * 11, "..//../../x", "", "A" * 32, "a" * 31)]
    bodies = [json.dumps(listed).encode() for listed in entries] + [b"", b"{}", b"[1]", b"\xff", b"[" * 100_000]
    sound = json.dumps([{"md5": "a" * 32, "relpath": "a"}]).encode()
    for body in bodies:
        yield outcome_of_listing(folder, body, hashlib.md5(body, usedforsecurity=False).hexdigest())
        yield outcome_of_listing(folder, body, "0" * 32)
    yield outcome_of_listing(folder, sound, "0" * 32)
    for path in ("../x", "/tmp/x", "a/../../x", ".git/config", ".dvc/config"):
        yield outcome_of_listing(folder, sound, hashlib.md5(sound, usedforsecurity=False).hexdigest(), path)


def outcome_of_listing(folder: Path, body: bytes, md5: str, path: str = "pool") -> str:
    there = folder / "remote/files/md5" / md5[:2] / f"{md5[2:]}.dir"
    there.parent.mkdir(parents=True, exist_ok=True)
    there.write_bytes(body)
    pointer = {"outs": [{"path": path, "hash": "md5", "md5": f"{md5}.dir", "nfiles": 1, "size": 1}]}
    (folder / "pool.dvc").write_text(yaml.safe_dump(pointer))
    outcome = refused(bring_checked)
    brought = any((folder / ".dvc/cache/files").rglob("*")) if (folder / ".dvc/cache/files").exists() else False
    there.unlink()
    return "let_in" if brought else outcome


def checkpoints(folder: Path) -> Iterator[str]:
    """The newest of two is damaged: one bit, cut, a file gone, a file emptied."""
    rng = random.Random(SEED)
    files = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "complete")
    for _ in range(DAMAGES):
        shutil.rmtree(folder / "run", ignore_errors=True)
        for step in (8, 10):
            checkpoint = folder / "run" / f"checkpoint-{step}"
            checkpoint.mkdir(parents=True)
            for name in files[:-1]:
                (checkpoint / name).write_bytes(rng.randbytes(500))
            mark_complete(checkpoint)
        damage(folder / "run/checkpoint-10" / rng.choice(files), rng)
        try:
            with redirect_stderr(io.StringIO()):  # its warnings
                found = last_checkpoint(folder / "run")
        except Exception:
            yield "tracebacks"
            continue
        right = str(folder / "run/checkpoint-8")
        yield "" if found == right else "lost" if found is None else "let_in"


def damage(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    kind = rng.choice(("bit", "cut", "gone", "empty"))
    if kind == "gone":
        path.unlink()
        return
    if kind == "bit" and path.name != "complete":  # of the mark a bit may be that of a space
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(b"" if kind == "empty" else data[: rng.randrange(len(data))] if kind != "bit" else data)
    if kind == "bit" and path.name == "complete":
        path.write_bytes(b"{}")


def params_with_an_address() -> str:
    """The repository's params.yaml, one server's address written out."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    return text.replace(VARIABLE, f"{BASE_URL}\n        {VARIABLE}", 1)


def hostile_params(folder: Path) -> Iterator[str]:
    """Secrets in any profile, numbers that are none, texts that no parser survives."""
    whole = params_with_an_address()
    texts = [whole.replace(old, new, 1).encode() for old, new in SECRETS]
    texts += [whole.replace("temperature: 0.9", f"temperature: {value}", 1).encode() for value in VALUES]
    texts += [whole.replace("      min_agreement: 6\n", "      min_agreement: 6\n      min_agreement: 2\n", 1).encode()]
    texts += [text.encode() for text in UNUSABLE] + [whole.encode(code) for code in ("utf-16", "utf-32", "utf-16-le")]
    for text in texts:
        (folder / "params.yaml").write_bytes(text)
        outcome = refused(lambda: load_params(folder / "params.yaml"))
        yield "tracebacks" if outcome == "" and repeats_secret(folder / "params.yaml") else outcome


def repeats_secret(path: Path) -> bool:
    """Whether what is said about it holds the key."""
    try:
        load_params(path)
    except R2IError as error:
        return KEY.casefold() in str(error).casefold()
    return False


ATTEMPTS: dict[str, Callable[[Path], Iterator[str]]] = {
    "cut": cut_locks,
    "other": other_locks,
    "listings": listings,
    "checkpoints": checkpoints,
    "params": hostile_params,
}
