"""An evaluation is made shard by shard: a killed one goes on, several workers share it, and the bytes are the same."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_run import write_params
from teacher_fakes import FakeModel, connecting, failed

from r2i.benchmark.rendered import render_items
from r2i.core import paths
from r2i.core.catalogue import BENCHMARK, predictions_of
from r2i.core.errors import EndpointError
from r2i.core.params import Drawing, load_params
from r2i.core.shards import cut_shards, make_table
from r2i.core.tables import part_name, write_table
from r2i.endpoint.base import Request
from r2i.evaluate.predict import EvaluateWork

ROOT = Path(__file__).parents[2]
FILE = Path("params.yaml")
WORK = partial(EvaluateWork, "base")


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """The smoke profile in a folder with the base model and items of eight images; how many shards these are."""
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    shutil.copytree(ROOT / "models/mini", "models/mini")
    items = list(render_items(8, Drawing(), seed=1))
    cut = cut_shards(dict.fromkeys(item["image_id"] for item in items), 2)
    write_table(BENCHMARK.folder, items, BENCHMARK.schema, cut)
    assert len(set(cut.values())) >= 3
    return len(set(cut.values()))


def table() -> dict[str, bytes]:
    return {part_name(path): path.read_bytes() for path in predictions_of("base").parts()}


def test_a_killed_evaluation_goes_on_after_its_last_whole_shard(shards: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: Request, _: int) -> str:
        return "<answer>A</answer>" if request.seed % 2 else "<answer>B</answer>"

    calm = FakeModel(answer)
    monkeypatch.setattr("r2i.endpoint.connect", connecting(calm))
    make_table(WORK, FILE)
    whole, asked = table(), len(calm.asked)
    shutil.rmtree(".r2i")
    shutil.rmtree(paths.PREDICTIONS)

    class Mortal(FakeModel):
        """Dies amid its third batch."""

        batches = 0

        def complete(self, requests: Any) -> Any:
            self.batches += 1
            if self.batches == 3:
                raise EndpointError("killed")
            return super().complete(requests)

    mortal, healed = Mortal(answer), FakeModel(answer)
    monkeypatch.setattr("r2i.endpoint.connect", connecting(mortal))
    with pytest.raises(EndpointError, match="killed"):
        make_table(WORK, FILE)
    assert not paths.PREDICTIONS.exists() or not list(paths.PREDICTIONS.glob("base/*"))
    finished = len(list(Path(".r2i/shards/evaluate").glob("*/*.json")))
    assert 1 <= finished < shards
    monkeypatch.setattr("r2i.endpoint.connect", connecting(healed))
    make_table(WORK, FILE)
    assert table() == whole and 0 < len(healed.asked) < asked


def test_other_weights_and_other_params_are_evaluated_anew(shards: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel(lambda request, _: "<answer>A</answer>")
    monkeypatch.setattr("r2i.endpoint.connect", connecting(model))
    make_table(WORK, FILE)
    once = len(model.asked)
    make_table(WORK, FILE)
    assert len(model.asked) == once
    with Path("models/mini/config.json").open("a") as file:
        file.write(" ")
    make_table(WORK, FILE)
    assert len(model.asked) == 2 * once
    params = yaml.safe_load(FILE.read_text())
    params["profiles"]["smoke"]["evaluate"]["views"] = ["full"]
    FILE.write_text(yaml.safe_dump(params))
    make_table(WORK, FILE)
    assert 2 * once < len(model.asked) < 3 * once


def test_no_table_takes_its_place_where_every_call_failed(shards: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r2i.endpoint.connect", connecting(FakeModel(lambda request, _: failed("server_error"))))
    with pytest.raises(EndpointError, match=r"no reply at all: .*server_error"):
        make_table(WORK, FILE)
    assert not list(paths.PREDICTIONS.glob("base/*"))


def test_two_workers_with_the_checkpoint_write_the_bytes_of_one(shards: int) -> None:
    counts = make_table(WORK, FILE)
    first = table()
    shutil.rmtree(".r2i")
    params = yaml.safe_load(FILE.read_text())
    params["profiles"]["smoke"]["execution"] = {"workers": 2}
    FILE.write_text(yaml.safe_dump(params))
    assert load_params(FILE).chosen.execution.workers == 2
    assert json.dumps(make_table(WORK, FILE), sort_keys=True) == json.dumps(counts, sort_keys=True)
    assert table() == first and len(first) == shards
