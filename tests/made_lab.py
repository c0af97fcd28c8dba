"""The made run as a small repository, with a dvc.lock that DVC itself wrote."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from made_run import OLD_PROMPT, TABLES, make_teaching, write_params, write_teaching

from r2i.core import paths
from r2i.core.fingerprint import CHOSEN_PARAMS, chosen_params, file_digest
from r2i.core.params import load_params

CODE = ("vote", "overlay")  # the stages that have some
GIT = ("-c", "user.name=lab", "-c", "user.email=lab@example.org")


def run(folder: Path, *command: str) -> str:
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=env | {"DVC_NO_ANALYTICS": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make_lab(root: Path) -> None:
    """A repository in `root`, which must be the current directory: tables, metrics, replies, dvc.lock, two commits."""
    write_params(root)
    for stage in CODE:
        name = f"r2i/{stage}.py"
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("limit = 1\n")
    old = root / "r2i/question/prompts/mini/write.txt"  # what the questions were written with; gone since
    old.parent.mkdir(parents=True)
    old.write_text(OLD_PROMPT)
    run(root, "git", "init", "--quiet")
    run(root, "git", "add", "r2i")
    run(root, "git", *GIT, "commit", "--quiet", "-m", "an old prompt")
    old.unlink()
    write_teaching(make_teaching(3))
    paths.CODE.mkdir()
    for stage in CODE:
        code = f"r2i/{stage}.py"
        (paths.CODE / f"{stage}.txt").write_text(f"{code} {file_digest(Path(code))}\nseed: 0\n")
    (paths.CODE / CHOSEN_PARAMS).write_text(yaml.safe_dump(chosen_params(load_params())))
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {name: _stage(name) for name in TABLES}}))
    run(root, "dvc", "init", "--quiet")
    run(root, "dvc", "commit", "--force", "--quiet")
    Path(".gitignore").write_text("/.r2i/\n")
    run(root, "git", "add", "-A")
    run(root, "git", *GIT, "commit", "--quiet", "-m", "a run")


def _stage(name: str) -> dict[str, Any]:
    outs = [str(folder) for folder, _ in TABLES.values()]
    at = list(TABLES).index(name)
    code = [f"{paths.CODE}/{name}.txt"] if name in CODE else []
    return {
        "cmd": f"make {name}",
        "deps": [*code, *outs[max(at - 1, 0) : at]],
        "params": [{f"{paths.CODE}/{CHOSEN_PARAMS}": ["seed", name]}],
        "outs": [outs[at]],
        "metrics": [f"metrics/{name}.json"],
    }


def flip_a_bit(path: Path) -> None:
    """One bit; size and time stay, so that DVC takes it for what it was."""
    before, data = path.stat(), bytearray(path.read_bytes())
    path.chmod(0o644)
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
