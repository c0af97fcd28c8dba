"""What sharing the mini profile costs, by kind of remote: seconds, megabytes, files.

`python bench/remotes.py` writes bench/results/remotes.json, and its table into docs/labs.md. Needs the outputs of the
committed `dvc.lock` in the cache (`dvc repro`, or `--cache`), `uv pip install 'moto[server]' wsgidav cheroot`, and
OpenSSH's sshd ($R2I_SSHD). For each remote: lab A pushes all, and again; lab B, a clone with an empty cache, pulls all,
and again; then `dvc repro` in it. Servers and labs are on this machine: no network is in the figures.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.remote_servers import SERVERS, configure
from bench.result import note_code, write_result
from r2i.repo.lock import read_lock

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results" / "remotes.json"
DOCS = ROOT / "docs" / "labs.md"
BEGIN, END = "<!-- figures: written by bench/remotes.py -->\n", "<!-- end of figures -->"
NAMES = {
    "folder": "a folder", "asyncssh": "SSH: asyncssh", "openssh": "SSH: OpenSSH's sshd", "s3_moto": "S3: moto (a mock)",
    "webdav": "WebDAV: wsgidav",
}  # fmt: skip


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("R2I_", "DVC_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    site = folder.parent / f"{folder.name}-site"  # DVC's index of a repository, else shared by all of this user
    return {**kept, "PATH": path, "PYTHONPATH": str(folder), "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(site)}


def run(folder: Path, *command: str) -> tuple[float, str]:
    """Seconds, and what was printed."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return time.perf_counter() - started, done.stdout + done.stderr


def clone(folder: Path) -> Path:
    """This working tree's files, as a repository of its own."""
    _, listed = run(ROOT, "git", "ls-files", "-co", "--exclude-standard")
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    run(folder, "git", "init", "--quiet")
    run(folder, "git", "add", "--all")
    return folder


def left_to_do(lab: Path) -> list[str]:
    """Stages that `dvc repro` would run."""
    _, said = run(lab, sys.executable, "-m", "dvc", "repro", "--dry")
    return [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")]


def measure(name: str, at: Path, lab: Path) -> dict[str, Any]:
    """Of one kind of remote; `lab` has everything."""
    other = clone(at / name / "other")
    r2i = [sys.executable, "-m", "r2i.cli.main"]
    with SERVERS[name](at / name / "server") as remote:
        for folder in (lab, other):
            configure(folder, remote)
        found: dict[str, Any] = {"push_s": run(lab, *r2i, "push")[0], "push_again_s": run(lab, *r2i, "push")[0]}
        found |= {"pull_s": run(other, *r2i, "pull")[0], "pull_again_s": run(other, *r2i, "pull")[0]}
        found["left_to_do"] = left_to_do(other)
        found["repro_s"] = run(other, sys.executable, "-m", "dvc", "repro")[0]
    assert (other / "dvc.lock").read_bytes() == (lab / "dvc.lock").read_bytes()
    return {key: round(value, 1) if isinstance(value, float) else value for key, value in found.items()}


def pulled(other: Path) -> dict[str, float]:
    """What the pull brought: contents by their hash, and entries of the run-cache."""
    files = [path for path in (other / ".dvc" / "cache" / "files").rglob("*") if path.is_file()]
    runs = [path for path in (other / ".dvc" / "cache" / "runs").rglob("*") if path.is_file()]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    return {"files": len(files), "megabytes": round(megabytes, 1), "runs": len(runs)}


def shared_cache(at: Path, lab: Path) -> dict[str, Any]:
    """A cache in a shared folder instead of a remote: a clone links its files."""
    other = clone(at / "linked")
    settings = {"cache.dir": str(lab / ".dvc" / "cache"), "cache.type": "reflink,hardlink,symlink"}
    for key, value in (settings | {"cache.shared": "group"}).items():
        run(other, sys.executable, "-m", "dvc", "config", "--local", key, value)
    seconds, _ = run(other, sys.executable, "-m", "dvc", "checkout")
    table = next((other / "data" / "answer" / "answers").glob("*.parquet"))
    link = "symlink" if table.is_symlink() else "hardlink" if table.stat().st_nlink > 1 else "reflink or copy"
    return {"checkout_s": round(seconds, 1), "link": link, "left_to_do": left_to_do(other)}


def figures(result: dict[str, Any]) -> str:
    """The table of docs/labs.md."""
    lines = ["| remote | push | again | pull | again | then `dvc repro` |", "|---|---|---|---|---|---|"]
    for name in [name for name in NAMES if name in result]:
        row = result[name]
        cells = [f"{row[key]} s" for key in ("push_s", "push_again_s", "pull_s", "pull_again_s", "repro_s")]
        left = "nothing to do" if not row["left_to_do"] else f"{len(row['left_to_do'])} stages to run"
        lines.append(f"| {NAMES[name]} | {' | '.join(cells)}, {left} |")
    got, linked = result["pulled"], result["shared_cache"]
    return "\n".join(lines) + (
        f"\n\n{result['stages']} stages, {got['files']} files, {got['megabytes']} MB, {got['runs']} entries of the"
        f" run-cache;\n{result['cores']} shared cores. From a shared cache: `dvc checkout` in"
        f" {linked['checkout_s']} s, as {linked['link']}s.\n"
    )


def write_docs(result: dict[str, Any]) -> None:
    before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCS.write_text(f"{before}{BEGIN}{figures(result)}{END}{after}", encoding="utf-8")


def main(cache: Path, results: Path, names: list[str]) -> None:
    code = note_code("r2i.cli.labs")
    result: dict[str, Any] = {"stages": len(read_lock(ROOT / "dvc.lock").stages), "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory(prefix="r2i-remotes-") as made:
        at = Path(made)
        at.chmod(0o755)
        lab = clone(at / "lab")
        shutil.copytree(cache, lab / ".dvc" / "cache")
        run(lab, sys.executable, "-m", "dvc", "checkout")
        for name in names:
            result[name] = measure(name, at, lab)
            print(name, result[name], flush=True)
        result["pulled"] = pulled(at / names[0] / "other")
        result["shared_cache"] = shared_cache(at, lab)
    write_result(results, result, code)
    if results == RESULTS:
        write_docs(result)
    print(json.dumps(result, indent=2, sort_keys=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=ROOT / ".dvc" / "cache", help="with the lock's outputs")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--remotes", nargs="+", choices=SERVERS, default=list(SERVERS))
    chosen = parser.parse_args()
    main(chosen.cache, chosen.results, chosen.remotes)
