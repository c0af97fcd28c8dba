"""`r2i study`: the committed claims, what a comparison says, and experiments that are killed and gone on with."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml
from clone import run

from r2i.core.errors import ParamsError
from r2i.core.params import load_params
from r2i.core.yaml_text import read_yaml
from r2i.tools.study.claims import CLAIMS, Claim, Pair, Study, as_override, load_study
from r2i.tools.study.measure import Found, Values, compare, judge, pair_items
from r2i.tools.study.outcomes import ITEMS
from r2i.tools.study.run import base_of, plan

ROOT = Path(__file__).parents[2]
DEFAULT = {"says": "It helps", "paper": "–", "test": "With it minus without it."}


def claim(**more: object) -> Claim:
    return Claim.model_validate({**DEFAULT, **({} if "below" in more else {"above": 0.0}), **more})


def values(this: list[float], that: list[float], clusters: str = "") -> Values:
    return Values(np.array(this), np.array(that), list(clusters or "abcdefghijklmnop"[: len(this)]))


def test_every_experiment_of_the_committed_list_has_params_that_the_code_takes(tmp_path: Path) -> None:
    from dvc.utils.hydra import apply_overrides

    params = load_params(ROOT / "params.yaml")
    study = load_study(ROOT / CLAIMS, params)
    seen = set()
    for experiment in study.experiments:
        path = tmp_path / f"{experiment}.yaml"
        shutil.copy(ROOT / "params.yaml", path)
        apply_overrides(path, study.overrides(experiment, 2))
        changed = load_params(path)
        assert changed.seed == 2 and changed.profile == study.profile
        seen.add(changed.chosen.model_dump_json())
    assert len(seen) == len(study.experiments)  # no two are the same
    assert {
        cell.experiment for one in study.claims.values() for pair in one.pairs for cell in (pair.this, pair.that)
    } == {*study.experiments}


@pytest.mark.parametrize(
    "value", [True, None, 3, 1e-5, "plain", "it's, {x}: [1]", "a\\b", "a\\'b", "end\\", [1, "a"], [{"a": "b c"}]]
)
def test_an_override_is_read_as_the_value_that_was_written(value: object, tmp_path: Path) -> None:
    from dvc.utils.hydra import apply_overrides

    path = tmp_path / "params.yaml"
    path.write_text("a: {b: 0}\n")
    apply_overrides(path, [f"++a.b={as_override(value)}"])
    assert read_yaml(path.read_text()) == {"a": {"b": value}}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"claims": {"c": {**DEFAULT, "above": 0.0, "that": {"experiment": "nowhere"}}}}, "no experiment 'nowhere'"),
        ({"claims": {"c": DEFAULT}}, "claims.c.*one bound"),
        ({"claims": {"c": {**DEFAULT, "above": 0.0, "that": {"view": "side"}}}}, "claims.c.that.view"),
        ({"profile": "minnie"}, "no profile 'minnie'"),
        ({"seeds": 0}, "seeds"),
    ],
)
def test_what_is_wrong_in_the_list_is_named(change: dict, named: str, tmp_path: Path) -> None:
    listed = {"profile": "smoke", "experiments": {"default": {}}, "claims": {}} | change
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump(listed))
    with pytest.raises(ParamsError, match=named):
        load_study(tmp_path / "claims.yaml", load_params(ROOT / "params.yaml"))


def test_seeds_that_disagree_widen_the_interval_and_seeds_that_agree_do_not_narrow_it() -> None:
    """Per seed 16 items, of which 4 or 12 change: seed means 0.25 and 0.75; their t interval (1 degree of freedom) is
    0.5 +- 12.7 * 0.25. Twice 0.5: the interval is that of 32 images."""
    few, most = ([1.0] * n + [0.0] * (16 - n) for n in (4, 12))
    apart = compare({0: values(few, [0.0] * 16), 1: values(most, [0.0] * 16)}, ratio=False)
    assert apart and apart.value == 0.5 and apart.ci95[1] - apart.ci95[0] == pytest.approx(2 * 12.706 * 0.25, rel=1e-3)
    half = values([1.0, 0.0] * 8, [0.0] * 16)
    alike = compare({0: half, 1: half}, ratio=False)
    assert (
        alike
        and alike.items == 32
        and alike.ci95[1] - alike.ci95[0] == pytest.approx(2 * 2.04 * 0.5 / 31**0.5, rel=1e-2)
    )
    assert alike.smallest > alike.ci95[1] - alike.value
    assert compare({}, ratio=False) is None


def test_a_cost_that_is_the_same_for_every_item_has_no_width() -> None:
    found = compare({0: values([41.0] * 4, [82.0] * 4)}, ratio=True)
    assert found and found.value == 0.5 and found.ci95 == (0.5, 0.5)
    saved = compare({0: values([41.0] * 4, [82.0] * 4)}, ratio=False)
    assert saved and saved.ci95 == (-41.0, -41.0)
    spread = compare({0: values([1.0, 2.0, 3.0, 2.0], [4.0, 4.0, 4.0, 4.0])}, ratio=True)
    assert spread and spread.value == 0.5 and spread.ci95[0] < 0.5 < spread.ci95[1]


@pytest.mark.parametrize(
    ("more", "ci95", "verdict"),
    [
        ({}, (0.01, 0.05), "holds here"),
        ({}, (-0.05, -0.01), "does not"),
        ({}, (-0.01, 0.01), "can't be told"),
        ({"fails_at": 0.02}, (-0.01, 0.01), "does not"),  # no effect that would be of use
        ({"fails_at": 0.02}, (-0.01, 0.03), "can't be told"),
        ({"above": -0.02}, (-0.01, 0.01), "holds here"),
        ({"below": 0.02}, (-0.01, 0.01), "holds here"),
        ({"below": 0.02}, (0.03, 0.05), "does not"),
        ({"below": 0.02}, (0.01, 0.05), "can't be told"),
    ],
)
def test_a_claim_holds_where_the_whole_interval_lies_on_its_side(more: dict, ci95: tuple, verdict: str) -> None:
    assert judge(claim(**more), Found(sum(ci95) / 2, ci95, 0.01, 10, 3)) == verdict
    assert judge(claim(**more), None) == "not run"


def test_cells_are_paired_on_the_items_that_both_have() -> None:
    def items(*rows: tuple[str, str, str, str, float]) -> pa.Table:
        names = ("item_id", "model", "dimension", "source", "accuracy")
        rest = {"view": "full", "cluster_id": "c", "coverage": None, "tokens": None, "forwards": None}
        return pa.Table.from_pylist([dict(zip(names, row, strict=True)) | rest for row in rows], ITEMS)

    table = items(
        ("1", "distilled", "ocr", "rendered", 1.0), ("2", "distilled", "color", "rendered", 1.0),
        ("3", "distilled", "ocr", "words", 1.0), ("1", "base", "ocr", "rendered", 0.0),
        ("2", "base", "color", "rendered", 1.0), ("4", "base", "ocr", "rendered", 1.0),
    )  # fmt: skip
    pair = Pair.model_validate({"that": {"model": "base"}})
    found = pair_items(table, table, pair, "accuracy")
    assert found and (found.this.tolist(), found.that.tolist()) == ([1.0, 1.0], [0.0, 1.0])
    ocr = Pair.model_validate({"this": {"dimensions": ["ocr"]}, "that": {"model": "base", "dimensions": ["ocr"]}})
    found = pair_items(table, table, ocr, "accuracy")
    assert found and found.that.tolist() == [0.0]
    assert pair_items(table, table, pair, "coverage") is None


def test_a_claim_of_a_model_that_is_not_trained_asks_for_nothing() -> None:
    listed = {
        "profile": "smoke", "experiments": {"default": {}, "other": {"vote.min_agreement": 4}},
        "claims": {"strange": {**DEFAULT, "above": 0.0, "that": {"experiment": "other", "model": "nobody"}},
                   "known": {**DEFAULT, "above": 0.0, "that": {"model": "base"}}},
    }  # fmt: skip
    study, params = Study.model_validate(listed), load_params(ROOT / "params.yaml")
    planned = plan(study, params, list(study.claims), 2)
    assert [(one.experiment, one.seed, one.models) for one in planned] == [
        ("default", 0, ["base", "distilled"]), ("default", 1, ["base", "distilled"]),
    ]  # fmt: skip


def test_an_experiment_is_based_on_the_pretraining_of_its_base() -> None:
    params = load_params(ROOT / "params.yaml")
    study = load_study(ROOT / CLAIMS, params)
    one, *_ = plan(study, params, ["distillation"], 1)
    assert {"pretrain", "vote", "train-dapo", "evaluate-base"} <= base_of(one, study, params).keys()


STAGE = """
import json, os, sys, time, yaml
import pyarrow as pa, pyarrow.parquet as pq
params, model = yaml.safe_load(open("params.yaml")), sys.argv[1]
least = params["profiles"]["smoke"]["vote"]["min_agreement"]
with open(os.environ["RAN"], "a") as file:
    file.write(f"{model} {least}\\n")
if least == 4 and not os.path.exists(os.environ["GO"]):
    time.sleep(60)
rows = [{"item_id": str(n), "cluster_id": str(n), "source": "rendered", "dimension": "ocr", "view": "full", "sample": 0,
         "correct": n % least > 0, "tokens_in": 5, "tokens_out": 1, "vision_forwards": 1, "status": "ok"}
        for n in range(40)]
os.makedirs(f"data/evaluate/{model}")
pq.write_table(pa.Table.from_pylist(rows), f"data/evaluate/{model}/part.parquet")
"""


@pytest.mark.long
def test_a_study_that_is_killed_goes_on_and_runs_nothing_twice(tmp_path: Path) -> None:
    """Real experiments of DVC, of a pipeline of one quick stage; the second waits until it is killed."""
    lab, ran, go = tmp_path / "lab", tmp_path / "ran", tmp_path / "go"
    lab.mkdir()
    shutil.copy(ROOT / "params.yaml", lab)
    (lab / "stage.py").write_text(STAGE)
    stage = {"cmd": "python stage.py ${item}", "deps": ["stage.py"], "outs": ["data/evaluate/${item}"],
             "params": ["seed", "profiles.smoke.vote.min_agreement"]}  # fmt: skip
    pipeline = {"stages": {"evaluate": {"foreach": ["distilled"], "do": stage}}}
    (lab / "dvc.yaml").write_text(yaml.safe_dump(pipeline))
    listed = {
        "profile": "smoke", "seeds": 1, "experiments": {"default": {}, "lax": {"vote.min_agreement": 4}},
        "claims": {"agree": {**DEFAULT, "above": 0.0, "that": {"experiment": "lax"}}},
    }  # fmt: skip
    (lab / "claims.yaml").write_text(yaml.safe_dump(listed))
    for words in ("git init -q", "dvc init -q", "git config user.name a", "git config user.email a@b.c", "git add -A",
                  "git commit -qm start"):  # fmt: skip
        assert run(lab, *words.split()).returncode == 0
    told = {"RAN": str(ran), "GO": str(go), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "r2i.cli.main", "study", "--claims", "claims.yaml"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with subprocess.Popen(command, cwd=lab, env={**os.environ, **told, "PATH": path}, stdout=subprocess.PIPE) as first:
        _wait_for(lambda: ran.is_file() and "4" in ran.read_text())
        first.send_signal(signal.SIGKILL)
    _wait_for(lambda: not _runs(str(lab)))
    assert list((lab / "metrics").iterdir())  # what had ended was written down
    go.touch()
    second = run(lab, *command, **told)
    assert second.returncode == 0, second.stderr
    assert "1 of 2" not in second.stdout and "2 of 2: lax, seed 0: ended" in second.stdout
    assert ran.read_text().split("\n")[:-1] == ["distilled 6", "distilled 4", "distilled 4"]
    found = json.loads((lab / "metrics/study.json").read_text())["agree"]
    # of 40 items 33 and 30 are right: n % 6 and n % 4
    assert found["ours"] == pytest.approx(3 / 40) and found["seeds"] == 1 and found["verdict"] == "can't be told"
    assert "*can't be told (smallest difference seen: " in (lab / "docs/study.md").read_text()
    third = run(lab, *command, **told)
    assert third.stdout.startswith("what was found: docs/study.md") and ran.read_text().count("\n") == 3


def _wait_for(ready: object, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not ready():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.2)


def _runs(folder: str) -> bool:
    """Whether any process works below `folder`."""
    for place in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if str(place.readlink()).startswith(folder):
                return True
        except OSError:
            continue
    return False
