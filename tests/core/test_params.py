"""Every checked-in profile parses; what is wrong is named."""

from pathlib import Path

import pytest
import yaml

from r2i.core.errors import ParamsError
from r2i.core.params import load_params

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
