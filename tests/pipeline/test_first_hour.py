"""docs/own.md as it stands: photographs, one server that takes few options, a second clone."""

from pathlib import Path

import pytest
import yaml

from bench.first_hour import REFUSED, page_commands, walk
from r2i.core.errors import ParamsError
from r2i.tools.init import write_profile

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_page_leads_from_photographs_to_a_gap_and_a_second_clone_has_nothing_to_do(tmp_path: Path) -> None:
    found = walk(tmp_path)
    made, *_, again = found["said"]
    assert "my-model" in made and "report:" in made
    low, high = found["gap_ci95"]
    assert 0.3 < low < found["gap"] <= high
    assert found["rows"] > 0
    assert set(found["wasted_by_option"]) == set(REFUSED) and found["wasted"] == len(REFUSED)  # once for all stages
    assert found["asked_by_the_second"] == 0
    assert "Data and pipelines are up to date." in again and "Running stage" not in again


def test_the_page_has_the_commands_of_every_step() -> None:
    commands = [line for block in page_commands() for line in block]
    assert [line.split()[:2] for line in commands if line.split()[0] in ("r2i", "dvc")] == [
        ["r2i", "init"], ["dvc", "repro"], ["r2i", "summary"], ["r2i", "benchmark"], ["dvc", "metrics"],
        ["dvc", "exp"], ["r2i", "export"], ["dvc", "remote"], ["r2i", "push"],
    ]  # fmt: skip


@pytest.mark.parametrize("benchmark", [None, "data/pools/questions.jsonl"])
def test_a_written_profile_has_thirty_lines_and_changes_nothing_else(benchmark: str | None, tmp_path: Path) -> None:
    path, before = tmp_path / "params.yaml", (ROOT / "params.yaml").read_text(encoding="utf-8")
    path.write_text(before, encoding="utf-8")
    chosen = write_profile(path, "photos", "my photos: #1", "llava:7b", benchmark).chosen
    assert chosen.sample.pools[0].path == "my photos: #1" and chosen.question.teacher.model == "llava:7b"
    assert chosen.has("evaluate") == (benchmark is not None) and not chosen.has("train")
    added = [line for line in path.read_text(encoding="utf-8").splitlines() if line not in before.splitlines()]
    assert added[0] == "profile: photos"
    text = path.read_text(encoding="utf-8")
    profile = text[text.index("\n  photos: # your own") :].strip("\n").splitlines()
    assert len(profile) <= 30
    others = yaml.safe_load(text)
    del others["profiles"]["photos"], others["models"]["photos"]
    assert others | {"profile": "mini"} == yaml.safe_load(before)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mini", "has a profile mini"),
        ("sft", "has a model sft"),
        ("a b", "can't be the name"),
        ("gap", "can't be the name"),
    ],
)
def test_a_profile_of_a_name_that_is_taken_is_refused(name: str, said: str, tmp_path: Path) -> None:
    path, before = tmp_path / "params.yaml", (ROOT / "params.yaml").read_text(encoding="utf-8")
    path.write_text(before, encoding="utf-8")
    with pytest.raises(ParamsError, match=said):
        write_profile(path, name, "photos", "m", None)
    assert path.read_text(encoding="utf-8") == before
