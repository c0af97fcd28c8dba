"""A lab: a clone of the shared git repository, with a cache and a store of its own."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import yaml

from bench.remote_servers import Remote, configure
from r2i.core.images import jpeg_bytes, sha256
from r2i.mini.world import render_scene

ROOT = Path(__file__).parents[2]
POOL = Path("pools") / "photos"
Pair = tuple[Path, Path]


def run(folder: Path, *command: str) -> str:
    """What a command prints; an AssertionError with it where the command fails."""
    done = subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout + done.stderr


def commit(folder: Path, message: str) -> None:
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", message)


def environment(folder: Path) -> dict[str, str]:
    """As of a machine of its own: nothing of ours but the interpreter."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("R2I_", "DVC_", "GIT_"))}
    author = {f"GIT_{who}_{what}": "lab@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return kept | author | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}", "PYTHONPATH": str(folder),
        "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(folder.parent / f"{folder.name}-site"), "R2I_LIVE": "0",
        "GIT_CONFIG_GLOBAL": os.devnull, "HF_HUB_OFFLINE": "1",
    }  # fmt: skip


def found_repository(folder: Path, server: str) -> Path:
    """A bare git repository with this working tree's files, all models behind `server`, and a pool of photographs."""
    seed = folder / "seed"
    for name in run(ROOT, "git", "ls-files", "-co", "--exclude-standard").splitlines():
        if (ROOT / name).is_file() and name != "dvc.lock":
            (seed / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, seed / name)
    write_params(seed, server)
    bare = folder / "shared.git"
    run(folder, "git", "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    run(seed, "git", "init", "--quiet", "--initial-branch=main")
    run(seed, "git", "add", "--all")
    run(seed, "git", "commit", "--quiet", "--message", "the pipeline")
    run(seed, "git", "push", "--quiet", str(bare), "main")
    return bare


def write_params(folder: Path, server: str) -> None:
    """The smoke profile, smaller, with every model call going to a server."""
    values = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    values["profile"] = "smoke"
    smoke = values["profiles"]["smoke"]
    remote = {"kind": "openai", "model": "mini", "base_url": server, "enforce_form": False}
    pool = {"kind": "folder", "name": "photos", "path": str(POOL)}
    smoke["sample"] |= {"pools": [pool], "images": 6, "shard_images": 1}
    smoke["question"] |= {"teacher": remote, "per_crop": 1}
    smoke["answer"]["teachers"] = [
        {"name": f"teacher-{name}", "endpoint": remote | {"model": f"mini-{name}"}, "samples": 4} for name in "ab"
    ]
    smoke["overlay"] |= {"teacher": remote, "student": remote}
    smoke["crop"] |= {"per_image": 2}
    values["profiles"] = {"smoke": smoke}
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def photograph(number: int) -> bytes:
    return jpeg_bytes(render_scene(np.random.default_rng([7, number])).image)


def scene_id(number: int) -> str:
    """The image_id of `photograph(number)`."""
    return sha256(photograph(number))


class Lab:
    """One lab's clone of `repository`, with `remote`, if any, as its default remote."""

    def __init__(self, folder: Path, repository: Path, remote: Remote | None = None) -> None:
        self.folder = folder
        run(folder.parent, "git", "clone", "--quiet", str(repository), str(folder))
        if remote is not None:
            configure(folder, remote)

    def run(self, *command: str) -> str:
        return run(self.folder, *command)

    def make(self, target: str) -> str:
        """`make push`, `make pull`, with this interpreter's environment as the one that `make setup` made."""
        return self.run("make", "--old-file=setup", f"VENV={sys.prefix}", target)

    def repro(self, *arguments: str) -> set[str]:
        """The stages that `dvc repro` ran."""
        return set(re.findall(r"^Running stage '([^']+)'", self.run("dvc", "repro", *arguments), re.MULTILINE))

    def add_photographs(self, numbers: Iterable[int]) -> None:
        """New files in the pool, tracked by DVC, and the params say that so many more are wanted."""
        folder = self.folder / POOL
        folder.mkdir(parents=True, exist_ok=True)
        for number in numbers:
            (folder / f"{number}.jpg").write_bytes(photograph(number))
        self.count_photographs()

    def remove_photographs(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            (self.folder / POOL / f"{number}.jpg").unlink()
        self.count_photographs()

    def count_photographs(self) -> None:
        self.run("dvc", "add", "--quiet", str(POOL))
        params = self.folder / "params.yaml"
        count = len(list((self.folder / POOL).iterdir()))
        params.write_text(re.sub(r"images: \d+", f"images: {count}", params.read_text(encoding="utf-8")))

    def commit(self, message: str) -> str:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)
        return self.run("git", "rev-parse", "HEAD").strip()

    def conflicts_of_pull(self) -> list[str]:
        """`git pull` of what another lab has pushed; the files that git could not merge."""
        subprocess.run(
            ["git", "pull", "--quiet", "--no-rebase", "--no-edit"], cwd=self.folder, env=environment(self.folder),
            capture_output=True, check=False, timeout=120,
        )  # fmt: skip
        return self.run("git", "diff", "--name-only", "--diff-filter=U").splitlines()

    def digests(self, *folders: str) -> dict[str, str]:
        """sha256 of every file below `folders`."""
        paths = [path for name in folders for path in sorted((self.folder / name).rglob("*")) if path.is_file()]
        return {str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


class Repeated:
    """A pair of labs that was made once, with its remote; each test gets its files anew, at the same place."""

    def __init__(self, folder: Path, make: Callable[[Path], object], before: "Repeated | None" = None) -> None:
        """`before`: what `make` goes on from."""
        self.folder, self.kept = before.folder if before else folder / "labs", folder / "kept"
        if before:
            before.restore()
        else:
            self.folder.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            stand_alone(self.folder, patch)
            make(self.folder)
        shutil.copytree(self.folder, self.kept, symlinks=True)

    def restore(self) -> Pair:
        shutil.rmtree(self.folder)
        shutil.copytree(self.kept, self.folder, symlinks=True)
        return self.folder / "a", self.folder / "b"


def stand_alone(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """This process, as one of a machine of its own."""
    for name in [name for name in os.environ if name.startswith(("R2I_", "DVC_", "GIT_"))]:
        patch.delenv(name)
    for name, value in environment(folder / "any").items():
        patch.setenv(name, value)


def make_pair(folder: Path) -> None:
    bare, seed = folder / "shared.git", folder / "seed"
    seed.mkdir()
    run(folder, "git", "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    run(seed, "git", "init", "--quiet", "--initial-branch=main")
    run(seed, "dvc", "init", "--quiet")
    shutil.copy(ROOT / ".gitattributes", seed)
    (seed / ".gitignore").write_text("/.r2i/\n/replies\n")
    commit(seed, "seed")
    run(seed, "git", "push", "--quiet", str(bare), "main")
    for name in ("a", "b"):
        run(folder, "git", "clone", "--quiet", str(bare), name)
        configure(folder / name, Remote(str(folder / "remote")))
