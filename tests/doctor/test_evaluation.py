"""How an evaluation will ask is looked at before it does: the protocol, prompts and pictures."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from made_rows import item_row
from PIL import Image

from r2i.core import paths
from r2i.core.images import jpeg_bytes
from r2i.core.params import Params, load_params
from r2i.core.records import BENCHMARK
from r2i.core.tables import write_table
from r2i.doctor.check import Check
from r2i.doctor.evaluation import check_evaluation
from r2i.evaluate.protocol import read_protocol

ROOT = Path(__file__).parents[2]
MINI = str(ROOT / "models/mini")
OWN = {"name": "mine", "decoding": {"max_tokens": 5}, "wordings": {"default": {"choice": "{question} {options}"}}}


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    read_protocol.cache_clear()
    return tmp_path


def params(**evaluate: Any) -> Params:
    """The smoke profile, its one model as a folder."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["profile"], smoke = "smoke", values["profiles"]["smoke"]
    smoke["evaluate"] = {"prompts": "mini", "views": ["full", "crop"], "samples": 0} | evaluate
    smoke["train"]["base"] = MINI
    Path("params.yaml").write_text(yaml.safe_dump(values))
    return load_params(Path("params.yaml"))


def look(**evaluate: Any) -> list[Check]:
    return list(check_evaluation(params(**evaluate), {"evaluate@base"}, own=True))


def write_items(**changes: Any) -> None:
    write_table(paths.BENCHMARK, [item_row(0), item_row(1) | changes], BENCHMARK)


@pytest.mark.parametrize(
    ("evaluate", "decoding", "state", "found"),
    [
        ({}, {}, "ok", "up to 5 tokens"),
        ({"max_tokens": 9}, {}, "note", "max_tokens 9 is not used"),
        ({"temperature": 0.5, "samples": 2}, {}, "ok", "up to 5 tokens"),  # sampled replies take it
        ({"temperature": 0.5, "samples": 2}, {"temperature": 0.7}, "note", "temperature 0.5 is not used"),
    ],
)
def test_what_a_protocol_decides_in_place_of_params_is_told(
    evaluate: dict[str, Any], decoding: dict[str, Any], state: str, found: str, inside: Path
) -> None:
    Path("mine.yaml").write_text(yaml.safe_dump(OWN | {"decoding": OWN["decoding"] | decoding}))
    (check,) = look(protocol="mine.yaml", **evaluate)
    assert check.state == state and found in check.found, check


def test_a_protocol_that_can_t_ask_would_stop_the_run(inside: Path) -> None:
    (check,) = look(protocol="nobody-has-it")
    assert check.state == "not ok" and "no protocol" in check.found and "import" in check.remedy
    write_items(options=[], label="")
    Path("mine.yaml").write_text(yaml.safe_dump(OWN))
    assert "open questions" in look(protocol="mine.yaml")[-1].found


def test_pictures_that_no_processor_takes_and_prompts_that_are_too_long_are_counted(inside: Path) -> None:
    write_items()
    (fine,) = look(max_tokens=8)
    assert fine.state == "ok" and "2 items; the longest prompt has" in fine.found and "of 512 with" in fine.found
    (long,) = look(max_tokens=500)
    assert long.state == "note" and "2 leave no room for the longest reply" in long.found
    served = {"base": {"kind": "vllm", "model": MINI, "flags": ["--max-model-len", "20"]}}
    assert "of 20 with" in look(max_tokens=8, endpoints=served)[0].found
    write_items(crop=jpeg_bytes(Image.new("RGB", (402, 2))))
    (narrow,) = look(max_tokens=8)
    assert narrow.state == "note" and "1 show a picture that is over 200:1, and fail" in narrow.found
    assert look(views=["full"], max_tokens=8)[0].state == "ok"


def test_items_of_another_profile_are_not_looked_at(inside: Path) -> None:
    write_items()
    assert list(check_evaluation(params(), {"evaluate@base"}, own=False)) == []
    assert list(check_evaluation(params(), {"sample"}, own=True)) == []
