"""Stages that a profile does without: their outputs are there and say so, and what stands alone can't be misread."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from r2i.core import paths
from r2i.core.catalogue import TABLES
from r2i.core.errors import ParamsError
from r2i.core.fingerprint import chosen_params
from r2i.core.left_out import LEFT_OUT, leave_out
from r2i.core.params import CHAIN, Params, load_params
from r2i.importing.digest import pin_rows

ROOT = Path(__file__).parents[2]
DAG = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def write(folder: Path, keep: tuple[str, ...], **sections: Any) -> Path:
    """params.yaml whose profile smoke has the sections `keep` alone, and `sections`."""
    data = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")) | {"profile": "smoke"}
    smoke = data["profiles"]["smoke"]
    data["profiles"]["smoke"] = {name: smoke[name] for name in ("endpoints", "drawing", *keep)} | sections
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


def stages(data: Mapping[str, Any]) -> dict[str, list[str]]:
    """What DVC wants of each stage of the DAG after it ran: outs, metrics, plots."""
    found: dict[str, list[str]] = {}
    for name, stage in DAG.items():
        for key, item in (data[stage["foreach"].strip("${}")] if "foreach" in stage else {"": {}}).items():
            written = stage.get("do", stage)
            outs = [next(iter(out)) if isinstance(out, dict) else out for kind in ("outs", "metrics", "plots")
                    for out in written.get(kind, [])]  # fmt: skip
            full = [out.replace("${key}", key).replace("${item.folder}", item.get("folder", "")) for out in outs]
            found[f"{name}@{key}" if key else name] = full
    return found


@pytest.mark.parametrize(
    ("keep", "made"),
    [
        (CHAIN, {*CHAIN, "audit"}),
        ((*CHAIN, "benchmark"), {*CHAIN, "audit", "benchmark"}),
        (("benchmark",), {"benchmark"}),
    ],
)
def test_a_stage_that_is_left_out_writes_all_that_dvc_wants(
    keep: tuple[str, ...], made: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params = load_params(write(tmp_path, keep))
    wanted = stages(yaml.safe_load((tmp_path / "params.yaml").read_text()))
    left = {stage for stage in wanted if stage not in ("code", "pretrain", "report") and leave_out(params, stage)}
    assert left == wanted.keys() - {"code", "pretrain", "report"} - made
    for stage in left:
        for out in map(Path, wanted[stage]):
            assert out.exists(), (stage, out)
            if out.is_relative_to("metrics"):
                assert json.loads(out.read_text()) == LEFT_OUT
            for part in out.glob("*.parquet") if out.is_dir() else []:
                assert pq.read_metadata(part).num_rows == 0
    for table in (table for table in TABLES if table.stage in left):
        assert pq.read_schema(table.parts()[0]).equals(table.schema)
    if "train@dapo" in left:
        assert [path.suffix for path in (paths.MODELS / "distilled").iterdir()] == [".txt"]


@pytest.mark.parametrize(
    ("keep", "sections", "said"),
    [
        (("sample", "question"), {}, "question needs the section crop"),
        (("evaluate",), {}, "evaluate needs the section benchmark"),
        (("train",), {}, "train needs rows"),
        (("report",), {}, "no section of any stage"),
    ],
)
def test_a_stage_without_what_it_reads_is_refused(
    keep: tuple[str, ...], sections: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ParamsError, match=said):
        load_params(write(tmp_path, keep, **sections))


def test_to_read_a_section_that_is_missing_is_an_error_that_names_it(tmp_path: Path) -> None:
    chosen = load_params(write(tmp_path, CHAIN)).chosen
    with pytest.raises(ParamsError, match="no section train"):
        _ = chosen.train
    assert not chosen.has("train") and chosen.has("vote") and chosen.runs() == []


def test_a_profile_of_rows_from_elsewhere_trains_what_it_names(tmp_path: Path) -> None:
    """The profile `released`: no stage before train, one run, and the models that come of it."""
    path = tmp_path / "params.yaml"
    before = (ROOT / "params.yaml").read_text(encoding="utf-8").replace("profile: mini", "profile: released", 1)
    path.write_text(before, encoding="utf-8")
    params = load_params(path)
    assert params.chosen.runs() == ["dapo"] and list(params.evaluated) == ["base", "distilled"]
    assert not any(params.chosen.has(stage) for stage in CHAIN)
    pin_rows(path, "released", Path("data/rows/zwz"), "ab" * 32)
    assert load_params(path).chosen.train.rows.sha256 == "ab" * 32  # type: ignore[union-attr]
    added = [line.strip() for line in path.read_text().splitlines() if line not in before.splitlines()]
    assert added == [f"sha256: {'ab' * 32}"]


def test_with_rows_from_elsewhere_no_stage_before_train_runs(tmp_path: Path) -> None:
    """Whatever sections the profile has: DVC sees the same params of these stages as where they are not there."""
    data = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")) | {"profile": "smoke"}
    smoke = data["profiles"]["smoke"]
    smoke["train"]["rows"] = {"path": "data/rows/zwz"}

    def load() -> Params:
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
        return load_params(tmp_path / "params.yaml")

    whole, style = load(), smoke["overlay"]["prompts"]
    assert not any(whole.chosen.has(stage) for stage in CHAIN)
    assert whole.chosen.train.prompts == whole.chosen.row_style == style
    assert list(whole.evaluated) and set(whole.chosen.runs()) == {"dapo", "sft", "opd"} & set(smoke["train"])
    smoke["train"]["prompts"] = style
    written = {name: smoke.pop(name) for name in CHAIN}
    assert chosen_params(load()) == chosen_params(whole)
    smoke |= written | {"crop": {**written["crop"], "nonsense": 1}}
    with pytest.raises(ParamsError, match="nonsense"):
        load()
