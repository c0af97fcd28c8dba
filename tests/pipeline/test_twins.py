"""Trainings on GPUs are compared by their scores: made metrics and locks, no run."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from twins import compare, differences

from r2i.core.params import Train, load_params

ROOT = Path(__file__).parents[2]


def train(engine: str, tolerance: float = 0.03) -> Train:
    known = load_params(ROOT / "params.yaml").profiles["paper"].train
    return known.model_copy(update={"engine": engine, "tolerance": tolerance})


def made(folder: Path, distilled: float, **md5s: str) -> Path:
    """A clone whose distilled model has so many right in the full view. `md5s`: of the outs, by stage."""
    scores = {"base": {"accuracy": 0.5}, "distilled": {"accuracy": distilled}}
    write(folder / "metrics" / "evaluate.json", {"views": {"full": scores}, "gap": {"base": 0.4, "distilled": 0.2}})
    names = {"vote": "vote", "train_dapo": "train@dapo", "score": "score"}
    stages = {names[stage]: {"outs": [{"path": f"data/{stage}", "md5": md5}]} for stage, md5 in md5s.items()}
    (folder / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")
    for stage, md5 in md5s.items():
        write(folder / "data" / stage / "file.json", md5)
    return folder


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


@pytest.mark.parametrize(("other", "apart"), [(0.83, False), (0.77, False), (0.831, True), (0.7, True)])
def test_two_gpu_trainings_may_differ_in_bytes_and_within_the_tolerance_in_scores(
    tmp_path: Path, other: float, apart: bool
) -> None:
    """0.80 against 0.83 is just within 0.03."""
    one = made(tmp_path / "one", 0.80, vote="same", train_dapo="a", score="a")
    two = made(tmp_path / "two", other, vote="same", train_dapo="b", score="b")
    found = compare(one, two, train("openrlhf"))
    assert found == ([f"views.full.distilled.accuracy: 0.8 and {other}: further apart than 0.03"] if apart else [])


def test_what_comes_before_a_gpu_training_must_be_the_same_bytes(tmp_path: Path) -> None:
    one, two = (made(tmp_path / name, 0.8, vote=name, train_dapo="a") for name in ("one", "two"))
    assert compare(one, two, train("openrlhf")) == ["vote: data/vote/file.json: byte 1 of 5 and 5"]


def test_a_training_on_the_cpu_must_be_the_same_bytes_however_near_its_scores(tmp_path: Path) -> None:
    one, two = (made(tmp_path / name, 0.8, vote="same", train_dapo=name) for name in ("one", "two"))
    assert compare(one, two, train("trl")) == differences(one, two) == [
        "train@dapo: data/train_dapo/file.json: byte 1 of 5 and 5"
    ]  # fmt: skip


def test_a_score_that_only_one_has_is_told(tmp_path: Path) -> None:
    one, two = (made(tmp_path / name, 0.8, vote="same") for name in ("one", "two"))
    write(two / "metrics" / "evaluate.json", {"views": {"full": {"base": {"accuracy": 0.5}}}, "gap": {"base": 0.4}})
    assert len(compare(one, two, train("openrlhf"))) == 2
