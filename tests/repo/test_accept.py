"""`r2i accept`: nothing but the code of a stage may differ from dvc.lock, and git keeps why it was accepted."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from made_lab import GIT, TABLES, flip_a_bit, run
from typer.testing import CliRunner

from r2i.cli.main import app
from r2i.core import fingerprint, paths
from r2i.core.catalogue import TRAIN
from r2i.core.errors import R2IError
from r2i.core.fingerprint import code_files
from r2i.core.params import load_params
from r2i.repo import accept as accept_module
from r2i.repo.accept import accept, accepted_code, read_acceptances
from r2i.repo.lock import md5_of, read_lock
from r2i.tools.verify.run import verify_all

ROOT = Path(__file__).parents[2]
CODE = paths.CODE / "vote.txt"
VOTES = TABLES["vote"][0] / "part-00000-of-00001.parquet"


def write_code_files() -> None:
    """As the stage `code` does."""
    for name, text in code_files(load_params()).items():
        (paths.CODE / name).write_text(text)


def edit_dag(change: Callable[[dict[str, dict[str, object]]], object]) -> None:
    dag = yaml.safe_load(Path("dvc.yaml").read_text())
    change(dag["stages"])
    Path("dvc.yaml").write_text(yaml.safe_dump(dag))


@pytest.fixture(scope="module")
def made(made_lab: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made chain with stage scripts that write its code files, with a `train@dapo`, and `later`, not run yet."""
    root = tmp_path_factory.mktemp("accept") / "lab"
    shutil.copytree(made_lab, root, symlinks=True)
    train = {"cmd": "make train", "deps": ["data/code/train-${item}.txt"], "outs": ["models/${item}"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(fingerprint, "ROOT", root)
        Path("stages").mkdir()
        Path("stages/vote.py").write_text('PARAMS = ("seed", "vote")\nfrom r2i.vote import limit\n')
        Path("stages/train.py").write_text('PARAMS = ("train.{run}",)\nfrom r2i.vote import limit\n')
        Path("stages/others.py").write_text(f"PARAMS = {tuple(TABLES)}\n")
        Path("models").mkdir()
        Path("models/dapo").write_text("weights")
        shutil.copy(ROOT / ".gitattributes", ".gitattributes")
        edit_dag(lambda stages: stages.update(train={"foreach": ["dapo"], "do": train}))
        write_code_files()
        run(root, "dvc", "commit", "--force", "--quiet")
        edit_dag(lambda stages: stages.update(later={"cmd": "make later", "outs": ["data/later"]}))
        run(root, "git", "config", "user.name", "Ada")
        run(root, "git", "config", "user.email", "ada@example.org")
        run(root, "git", "add", "-A")
        run(root, "git", "commit", "--quiet", "-m", "a run")
    return root


@pytest.fixture
def lab(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to spoil, as the current directory; its code was refactored since."""
    root = tmp_path / "lab"
    shutil.copytree(made, root, symlinks=True)
    monkeypatch.chdir(root)
    monkeypatch.setattr(fingerprint, "ROOT", root)
    for name in ("R2I_STORE", "R2I_REPLIES", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    Path("r2i/vote.py").write_text("one = 1\nlimit = one\n")
    write_code_files()
    return root


def test_an_accepted_stage_is_up_to_date_and_its_lineage_says_why(lab: Path) -> None:
    before, status = read_lock(), run(lab, "dvc", "status", "vote")
    assert "data/code/vote.txt" in status
    done = CliRunner().invoke(app, ["accept", "vote", "--why", "renamed one constant;\n smoke gives the same bytes"])
    assert done.exit_code == 0, done.stdout + done.stderr
    assert "vote is up to date (code: 1 changed, 0 came, 0 went)" in done.stdout
    assert "up to date" in run(lab, "dvc", "status", "vote")
    after = read_lock()
    assert after.outs() == before.outs()
    assert [new for new, old in zip(after.deps(), before.deps(), strict=True) if new != old] == [after.code("vote")]
    code = before.code("vote")
    assert code is not None and [json.loads(line) for line in paths.ACCEPTED.read_text().splitlines()] == [{
        "stage": "vote", "why": "renamed one constant; smoke gives the same bytes", "before": code.md5,
        "after": md5_of(CODE), "by": "Ada", "files": {"changed": ["r2i/vote.py"], "came": [], "went": []},
    }]  # fmt: skip
    name = next(TRAIN.batches([TRAIN.key])).column(0)[0].as_py()
    told = CliRunner().invoke(app, ["lineage", name]).stdout
    assert f"accepted by Ada in place of {code.md5}: renamed one constant; smoke gives the same bytes" in told
    story = json.loads(CliRunner().invoke(app, ["lineage", name, "--json"]).stdout)
    assert [row["by"] for row in story["revision"]["stages"]["vote"]["accepted"]] == ["Ada"]
    assert story["revision"]["stages"]["overlay"]["accepted"] == []
    assert str(paths.ACCEPTED) not in {finding.where for finding in verify_all(False).findings}


def test_one_run_of_a_stage_is_accepted_by_its_own_name(lab: Path) -> None:
    accepted = accept("train@dapo", "the same weights")
    assert accepted.stage == "train@dapo" and accepted.after == md5_of(paths.CODE / "train-dapo.txt")
    assert "up to date" in run(lab, "dvc", "status", "train@dapo")
    assert "data/code/vote.txt" in run(lab, "dvc", "status", "vote")  # for itself alone


def go_back() -> None:
    Path("r2i/vote.py").write_text("limit = 1\n")
    write_code_files()


def refactor_again() -> None:
    Path("r2i/vote.py").write_text("limit = 2 - 1\n")


def change_a_param() -> None:
    params = Path("params.yaml").read_text()
    smoke = params.index("\n  smoke:")
    Path("params.yaml").write_text(params[:smoke] + params[smoke:].replace("min_agreement: 6", "min_agreement: 7", 1))
    write_code_files()


def change_the_command() -> None:
    edit_dag(lambda stages: stages["vote"].update(cmd="make vote faster"))


def add_an_output() -> None:
    Path("data/vote/more").write_text("x")
    edit_dag(lambda stages: stages["vote"].update(outs=[str(TABLES["vote"][0]), "data/vote/more"]))


def freeze() -> None:
    edit_dag(lambda stages: stages["vote"].update(frozen=True))


ANSWERS = TABLES["answer"][0] / "part-00000-of-00001.parquet"


@pytest.mark.parametrize(
    ("stage", "why", "spoil", "cause", "remedy"),
    [
        ("vote", " \n", lambda: None, "no reason is given", "--why"),
        ("votes", "x", lambda: None, "dvc.yaml has no stage votes", "name one of: .*vote"),
        ("train", "x", lambda: None, "dvc.yaml has no stage train", "name one of: train@dapo$"),
        ("later", "x", lambda: None, "dvc.lock has no entry of later", "`dvc repro later`"),
        ("answer", "x", lambda: None, "nothing to accept: answer reads no file of data/code/", "dvc repro answer"),
        ("vote", "x", go_back, "nothing to accept: vote ran with the code that is here", "`dvc status vote`"),
        ("vote", "x", freeze, "nothing to accept: vote is frozen", "dvc repro"),
        ("vote", "x", refactor_again, "data/code/vote.txt is missing, or older than the code", "`dvc repro code`"),
        ("vote", "x", CODE.unlink, "data/code/vote.txt is missing, or older than the code", "`dvc repro code`"),
        ("vote", "x", VOTES.unlink, "the output data/vote/votes of vote is not what dvc.lock says", "r2i verify"),
        ("vote", "x", lambda: shutil.rmtree(VOTES.parent), "data/vote/votes of vote is missing", "r2i verify"),
        ("vote", "x", lambda: flip_a_bit(VOTES), "the output data/vote/votes of vote is not what", "r2i verify"),
        ("vote", "x", lambda: Path("metrics/vote.json").unlink(), "metrics/vote.json of vote is missing", "r2i verify"),
        ("vote", "x", lambda: flip_a_bit(ANSWERS), "the input data/answer/answers of vote is not what", "dvc repro"),
        ("vote", "x", change_a_param, 'vote ran with vote .*"min_agreement": 6', "put the param back"),
        ("vote", "x", change_the_command, "more than the code of vote has changed.*changed command", "dvc repro vote"),
        ("vote", "x", add_an_output, "more than the code of vote has changed.*data/vote/more", "dvc repro vote"),
    ],
)
def test_what_is_not_the_code_alone_is_refused_and_nothing_is_written(
    lab: Path, stage: str, why: str, spoil: Callable[[], object], cause: str, remedy: str
) -> None:
    spoil()
    before = Path("dvc.lock").read_bytes()
    with pytest.raises(R2IError, match=cause) as caught:
        accept(stage, why)
    assert re.search(remedy, caught.value.remedy)
    assert Path("dvc.lock").read_bytes() == before and not paths.ACCEPTED.exists()


def test_a_commit_of_dvcs_that_fails_takes_the_line_back(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*command: str) -> None:
        raise R2IError("busy")

    accept("train@dapo", "the same weights")
    before = paths.ACCEPTED.read_bytes()
    monkeypatch.setattr(accept_module, "run_dvc", refuse)
    with pytest.raises(R2IError, match="busy"):
        accept("vote", "the same votes")
    assert paths.ACCEPTED.read_bytes() == before
    monkeypatch.setattr(accept_module, "run_dvc", lambda *_: None)  # says that all is well, and wrote nothing
    with pytest.raises(R2IError, match="wrote something else"):
        accept("vote", "the same votes")
    assert paths.ACCEPTED.read_bytes() == before


def test_acceptances_of_two_branches_merge_by_themselves(lab: Path) -> None:
    run(lab, "git", "checkout", "--quiet", "-b", "other")
    accept("vote", "the same votes")
    for branch, stage, why in (("main_too", "train@dapo", "the same weights"), ("", "", "")):
        run(lab, "git", "add", "-A")
        run(lab, "git", "commit", "--quiet", "-m", why or "accepted")
        if branch:
            run(lab, "git", "checkout", "--quiet", "-b", branch, "HEAD~")
            Path("r2i/vote.py").write_text("one = 1\nlimit = one\n")
            write_code_files()
            accept(stage, why)
    run(lab, "git", *GIT, "merge", "--quiet", "--no-edit", "other")
    assert {(row.stage, row.why) for row in read_acceptances()} == {
        ("vote", "the same votes"), ("train@dapo", "the same weights"),
    }  # fmt: skip
    assert "up to date" in run(lab, "dvc", "status", "vote", "train@dapo")


def test_code_that_was_accepted_twice_is_traced_to_what_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths.ACCEPTED.parent.mkdir()
    steps = [("vote", "a", "b"), ("vote", "b", "c"), ("crop", "x", "c"), ("vote", "c", "b")]
    lines = [
        {"stage": stage, "why": f"{before}{after}", "before": before, "after": after, "by": "", "files": None}
        for stage, before, after in steps
    ]
    paths.ACCEPTED.write_text("".join(f"{json.dumps(line)}\n" for line in lines[:3]))
    assert [row.why for row in accepted_code("vote", "c")] == ["bc", "ab"]
    assert accepted_code("vote", "a") == [] and accepted_code("overlay", "c") == []
    paths.ACCEPTED.write_text("".join(f"{json.dumps(line)}\n" for line in lines))  # there and back again
    assert {row.why for row in accepted_code("vote", "c")} == {"ab", "bc", "cb"}
    paths.ACCEPTED.write_text("<<<<<<< HEAD\n")
    with pytest.raises(R2IError, match=r"accepted\.jsonl:1 is no acceptance"):
        read_acceptances()


def test_make_clean_keeps_what_was_accepted() -> None:
    told = run(ROOT, "make", "--dry-run", "clean")
    assert str(paths.ACCEPTED) not in told and " data " not in told
