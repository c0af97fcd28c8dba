"""Every checked-in profile parses; what is wrong is named."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import ValidationError

from r2i.core.errors import ParamsError
from r2i.core.params import CROP_TAKES, BenchmarkKind, BenchmarkSource, Crop, Pool, load_params

FILE = Path(__file__).parents[2] / "params.yaml"


@pytest.mark.parametrize("profile", ["mini", "smoke", "paper"])
def test_every_profile_is_complete_and_parses(profile: str, tmp_path: Path) -> None:
    data = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    data["profile"] = profile
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(data))
    assert load_params(path).chosen == load_params(FILE).profiles[profile]


def test_the_paper_profile_has_the_references_numbers() -> None:
    """REFERENCE: 6 of 8 votes, 3 questions, boxes below 10 %, clip 0.2 / 0.3, 384 / 96 prompts, 8 rollouts."""
    paper = load_params(FILE).profiles["paper"]
    assert sum(teacher.samples for teacher in paper.answer.teachers) == 8
    assert (paper.vote.min_agreement, paper.question.per_crop, paper.crop.max_area_share) == (6, 3, 0.1)
    assert (paper.crop.min_score, paper.sample.min_side, paper.drawing.outline.expand) == (0.75, 1201, 0.05)
    assert (paper.overlay.tries, paper.overlay.drop_at, paper.drawing.outline.line) == (4, 2, 5)
    dapo = paper.train.dapo
    assert (dapo.lr, dapo.clip_low, dapo.clip_high, dapo.kl, dapo.epochs) == (1e-6, 0.2, 0.3, 0, 3)
    assert (dapo.rollout_prompts, dapo.train_prompts, dapo.group_size) == (384, 96, 8)
    assert (dapo.max_prompt, dapo.max_response) == (25000, 2048)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("min_agreement: 6", "min_agrement: 6", "min_agrement"),
        ("min_agreement: 6", "min_agreement: six", "min_agreement"),
        ("min_score: 0.75", "min_score: 75", "min_score"),
        ("profile: mini", "profile: laptop", "laptop"),
    ],
)
def test_a_wrong_key_or_value_is_named(old: str, new: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(FILE.read_text(encoding="utf-8").replace(old, new))
    with pytest.raises(ParamsError, match=named):
        load_params(path)


def test_a_missing_file_says_where_to_run() -> None:
    with pytest.raises(ParamsError, match="repository's root"):
        load_params(Path("nowhere.yaml"))


def test_no_key_can_be_a_param() -> None:
    """Endpoints name an environment variable; a field that could hold a secret is refused."""
    from pydantic import ValidationError

    from r2i.core.params import Endpoint

    with pytest.raises(ValidationError, match="api_key"):
        Endpoint.model_validate({"kind": "openai", "model": "m", "base_url": "http://x/v1", "api_key": "sk-123"})


POOL = {"name": "photos", "path": "x"}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (POOL | {"kind": "folder", "scenes": 5}, "scenes"),
        (POOL | {"kind": "folder", "column": "photo"}, "column"),
        (POOL | {"kind": "tar", "column": "photo"}, "column"),
        (POOL | {"kind": "parquet", "scenes": 5}, "scenes"),
        ({"kind": "rendered", "name": "scenes", "scenes": 5, "path": "x"}, "path"),
        ({"kind": "rendered", "name": "scenes", "scenes": 5, "version": "5-abc"}, "version"),
        ({"kind": "rendered", "name": "scenes", "scenes": 5, "column": "photo"}, "column"),
    ],
)
def test_a_param_that_a_kind_of_pool_would_ignore_is_refused_by_name(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=f"kind: {given['kind']} takes no {named}; it takes .*name"):
        Pool.model_validate(given)
    assert Pool.model_validate({name: value for name, value in given.items() if name != named})


@pytest.mark.parametrize("kind", get_args(BenchmarkKind))
def test_a_param_that_a_kind_of_benchmark_would_ignore_is_refused_by_name(kind: str) -> None:
    given = {"kind": kind, "items": 5} | ({} if kind == "rendered" else {"path": "x"})
    assert BenchmarkSource.model_validate(given)
    others = {"columns": {"image": "photo"}, "box_unit": "shares", "box_form": "xywh", "path": "x"}
    boxed = {name: {"box_unit", "box_form", "path"} for name in ("cvbench", "reference", "zoombench")}
    taken = {"table": set(others), "rendered": set(), **boxed}.get(kind, {"path"})
    for name, value in others.items():
        if name in taken:
            assert BenchmarkSource.model_validate(given | {name: value})
        else:
            with pytest.raises(ValidationError, match=f"kind: {kind} takes no {name}"):
                BenchmarkSource.model_validate(given | {name: value})


@pytest.mark.parametrize("method", get_args(Crop.model_fields["method"].annotation))
def test_a_param_that_a_method_of_crop_would_ignore_is_refused_by_name(method: str) -> None:
    """Whatever the section has is read by all methods, or by those that the section names."""
    given = {"method": method, "min_side": 4, "per_image": 3}
    given |= {"teacher": {}} if "teacher" in method else {}
    assert Crop.model_validate(given)
    others = {
        "sam2_model": "x.pt", "sam2_config": "x.yaml", "sam2_sha256": "0", "points_per_side": 3, "points_per_batch": 3,
        "teacher": {}, "listing": {}, "prompts": "mine", "max_pixels": 9, "coordinates": "pixels", "min_objects": 1,
        "min_score": 0.1, "min_stability": 0.1,
    }  # fmt: skip
    everywhere = {"max_area_share": 0.2, "max_box_aspect": 2, "max_iou": 0.1, "choose": "diverse"}
    assert {*given, *others, *everywhere, "teacher"} == set(Crop.model_fields)
    assert Crop.model_validate(given | everywhere)
    for name, value in others.items():
        if name in CROP_TAKES[method]:
            assert Crop.model_validate(given | {name: value})
        else:
            with pytest.raises(ValidationError, match=rf"method: {re.escape(method)} takes no {name}"):
                Crop.model_validate(given | {name: value})


def test_a_param_that_says_what_holds_anyway_is_let_be() -> None:
    pool = Pool(kind="folder", name="photos", path="x")
    assert Pool.model_validate(pool.model_dump()) == pool
    source = BenchmarkSource(kind="zoombench", path="x")
    assert BenchmarkSource.model_validate(source.model_dump()) == source
