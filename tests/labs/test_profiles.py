"""A lab that makes data alone, with a profile of its own, over the run of another profile that the repository holds."""

import json
import shutil
import subprocess
import sys

import pytest
import yaml
from labs.lab import ROOT, Lab, commit, environment, run

from bench.remote_servers import Remote

pytestmark = pytest.mark.slow
OWN = ("sample", "crop")  # none of them starts a model
OTHERS = "profile mini"


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, Lab]:
    """Two clones of this repository, whose lock and metrics are of mini, and a folder as their remote. They choose a
    profile of their own: smoke without the sections of all stages but OWN."""
    folder = tmp_path_factory.mktemp("profiles")
    seed, bare = folder / "seed", folder / "shared.git"
    for name in run(ROOT, "git", "ls-files", "-co", "--exclude-standard").splitlines():
        if (ROOT / name).is_file():
            (seed / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, seed / name)
    values = yaml.safe_load((seed / "params.yaml").read_text(encoding="utf-8"))
    smoke = values["profiles"]["smoke"]
    scenes = {name: smoke[name] for name in (*OWN, "drawing", "report")}
    scenes["sample"] |= {"images": 4}
    values |= {"profile": "scenes", "profiles": {**values["profiles"], "scenes": scenes}}
    (seed / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    run(folder, "git", "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    run(seed, "git", "init", "--quiet", "--initial-branch=main")
    commit(seed, "the pipeline, and a run of mini")
    run(seed, "git", "push", "--quiet", str(bare), "main")
    remote = Remote(str(folder / "remote"))
    return Lab(folder / "a", bare, remote), Lab(folder / "b", bare, remote)


def r2i(lab: Lab, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "r2i.cli.main", *words]
    return subprocess.run(
        command, cwd=lab.folder, env=environment(lab.folder), capture_output=True, text=True, check=False, timeout=300
    )


def share(a: Lab, b: Lab, message: str) -> tuple[str, str]:
    """What `make push` and `make pull` say."""
    sent = a.make("push")
    a.commit(message)
    a.run("git", "push", "--quiet", "origin", "main")
    b.run("git", "pull", "--quiet", "--no-rebase", "--no-edit")
    return sent, b.make("pull")


def test_a_run_of_another_profile_is_shown_and_handed_on_by_nothing(labs: tuple[Lab, Lab]) -> None:
    lab, _ = labs
    for words in (["summary"], ["track"], ["card", "data"], ["fresh"]):
        done = r2i(lab, *words)
        assert done.returncode == 1 and done.stderr.startswith("error: ") and "%" not in done.stdout, done.stderr
    pulled = lab.make("pull")
    assert pulled.count(OTHERS) == 1 and "train@dapo" in pulled


def test_a_part_of_a_run_is_shared_and_the_rest_is_named_once(labs: tuple[Lab, Lab]) -> None:
    a, b = labs
    assert a.repro("crop") >= set(OWN)
    sent, brought = share(a, b, "regions")
    for said in (sent, brought):
        assert said.count(OTHERS) == 1 and "train@dapo" in said and "md5" not in said
    assert b.repro("crop") == set()
    verified, fresh, shown = (r2i(b, word) for word in ("verify", "fresh", "summary"))
    assert verified.returncode == 0 and verified.stdout.count(OTHERS) == 1, verified.stdout + verified.stderr
    assert fresh.returncode == 0 and fresh.stdout.count(OTHERS) == 1, fresh.stdout + fresh.stderr
    assert shown.returncode == 0 and "crop" in shown.stdout and "%" not in shown.stdout
    assert "metrics/evaluate.json" in shown.stdout and OTHERS in shown.stdout


def test_after_the_whole_run_a_second_clone_has_nothing_to_do(labs: tuple[Lab, Lab]) -> None:
    a, b = labs
    a.repro()
    sent, brought = share(a, b, "all that there is")
    assert OTHERS not in sent + brought
    assert b.repro() == set()
    verified, fresh, shown = (r2i(b, word) for word in ("verify", "fresh", "summary"))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert fresh.stdout == "dvc.lock is of this commit\n", fresh.stderr
    assert "left out" not in shown.stdout and "no model was measured" in shown.stdout
    left_out = json.loads((b.folder / "metrics" / "evaluate.json").read_text())
    assert left_out == {"left_out": True}


def test_what_was_committed_and_not_pushed_is_named_by_stage(labs: tuple[Lab, Lab]) -> None:
    a, b = labs
    params = a.folder / "params.yaml"
    params.write_text(params.read_text().replace("per_image: 3", "per_image: 2"))
    a.repro("crop")
    a.commit("fewer regions")
    a.run("git", "push", "--quiet", "origin", "main")
    b.run("git", "pull", "--quiet", "--no-rebase", "--no-edit")
    shutil.rmtree(b.folder / "data" / "crop")
    done = r2i(b, "pull")
    assert done.returncode == 1 and "the remote lacks what this commit names of crop" in done.stderr
    assert "make push" in done.stderr and "md5" not in done.stderr


def test_pages_of_the_repository_take_no_numbers_of_another_profile(labs: tuple[Lab, Lab]) -> None:
    lab, _ = labs
    first = lab.run("git", "rev-list", "--max-parents=0", "HEAD").strip()
    lab.run("git", "checkout", "--quiet", first, "--", "dvc.lock", "metrics")
    before = (lab.folder / "README.md").read_text()
    done = r2i(lab, "readme", "--older")
    assert done.returncode == 1 and f"it is of {OTHERS}" in done.stderr
    assert (lab.folder / "README.md").read_text() == before
