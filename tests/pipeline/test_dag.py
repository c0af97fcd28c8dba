"""dvc.yaml: every stage depends on what its code means, and on the params that its script reads."""

import re
from difflib import unified_diff
from pathlib import Path

import pytest
import yaml

from r2i.core.fingerprint import code_files, code_text, declared_params
from r2i.core.params import CHAIN, load_params

ROOT = Path(__file__).parents[2]
DAG = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
STAGES = {name: stage.get("do", stage) for name, stage in DAG.items() if name != "code"}
SCRIPTS = {name: ROOT / "stages" / f"{name}.py" for name in STAGES}
WORK = {  # of stages that work shard by shard: where their params are read
    "crop": [ROOT / "r2i/crop/run.py"], "question": [ROOT / "r2i/question/ask.py"],
    "answer": [ROOT / "r2i/answer/ask.py"], "vote": [ROOT / "r2i/vote/collect.py"],
    "overlay": [ROOT / "r2i/overlay/ask.py"], "evaluate": [ROOT / "r2i/evaluate/predict.py"],
}  # fmt: skip


def own_params(name: str) -> list[str]:
    """As the script's PARAMS have them."""
    files = STAGES[name].get("params", [])
    mark = {"${runs}": "{run}", "${models}": "{model}"}.get(DAG[name].get("foreach"), "")
    return [key.replace("${key}", mark) for file in files for key in file["data/code/params.yaml"]]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_its_code_file_and_on_no_code(name: str) -> None:
    many = "foreach" in DAG[name]
    code = [dep for dep in STAGES[name]["deps"] if dep.startswith(("r2i/", "stages/", "data/code"))]
    assert code == [f"data/code/{name}-${{key}}.txt" if many else f"data/code/{name}.txt"]


def test_every_stage_script_is_a_stage_and_every_stage_has_its_script() -> None:
    assert set(STAGES) == {path.stem for path in (ROOT / "stages").glob("*.py")} - {"fingerprint"}


def test_the_committed_code_files_are_those_of_the_committed_code() -> None:
    """`dvc repro code` writes them; a commit of code without them would say that nothing has changed."""
    wanted = code_files(load_params(ROOT / "params.yaml"))
    assert {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "data/code").iterdir()} == wanted


@pytest.mark.parametrize("name", STAGES)
def test_a_script_names_the_params_of_its_stage(name: str) -> None:
    assert declared_params(SCRIPTS[name]) == own_params(name)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_is_rerun_when_the_params_it_reads_change(name: str) -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (SCRIPTS[name], *WORK.get(name, [])))
    read = set(re.findall(r"\.chosen\.(\w+)", source)) | set(re.findall(r"\bprofile\.(\w+)", source))
    assert read - {"has"} == {key.split(".")[0] for key in own_params(name)} - {"seed", "profile", "runs", "models"}


@pytest.mark.parametrize("key", ["max_prompt", "max_response", "min_pixels", "max_pixels"])
def test_the_control_is_trained_anew_where_a_bound_changes_that_it_takes_from_dapo(key: str, tmp_path: Path) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["profiles"][params["profile"]]["train"]["dapo"][key] = 4096
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    assert code_text("train", load_params(path), "sft") != code_text("train", load_params(ROOT / "params.yaml"), "sft")


def test_no_stage_before_the_audit_can_see_the_truth() -> None:
    for name, stage in STAGES.items():
        sees = any(dep.startswith("data/truth") for dep in stage["deps"])
        assert sees == (name == "audit"), name


def test_no_expensive_stage_has_outputs_outside_the_cache() -> None:
    """`cache: false` keeps a stage out of the run-cache: other labs would have to run it again."""
    cheap = {"score", "audit", "pretrain"}
    for name, stage in STAGES.items():
        uncached = [out for out in stage.get("outs", []) + stage.get("metrics", []) if isinstance(out, dict)]
        assert not uncached or name in cheap, name


DATA_ONLY = ("endpoints", "drawing", *CHAIN, "report")


@pytest.mark.parametrize("sections", [None, DATA_ONLY])
@pytest.mark.parametrize("profile", ["mini", "smoke", "paper", "one-gpu"])
def test_every_param_that_the_dag_names_is_there_in_every_profile(
    profile: str, sections: tuple[str, ...] | None, tmp_path: Path
) -> None:
    """DVC stops where a param is missing: what a profile leaves out, or to its default, is null."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")) | {"profile": profile}
    if sections:
        params["profiles"][profile] = {name: params["profiles"][profile][name] for name in sections}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    chosen = yaml.safe_load(code_files(load_params(path))["params.yaml"])
    for name, stage in STAGES.items():
        for param in (key for file in stage.get("params", []) for key in file["data/code/params.yaml"]):
            for key in params.get(DAG[name].get("foreach", "").strip("${}"), {"": None}):
                found = chosen
                for part in param.replace("${key}", key).split("."):
                    assert part in found, f"{name}: {param} is not in {chosen}"
                    found = found[part]
    assert (chosen["train"]["engine"] is None) == (sections is not None)
    assert chosen["vote"]["min_agreement"] == params["profiles"][profile]["vote"]["min_agreement"]


def test_setting_a_param_changes_its_line_alone(tmp_path: Path) -> None:
    """`dvc exp run -S` writes params.yaml anew: nothing else in it may look another way afterwards."""
    from dvc.utils.hydra import apply_overrides

    path = tmp_path / "params.yaml"
    before = (ROOT / "params.yaml").read_text(encoding="utf-8")
    path.write_text(before, encoding="utf-8")
    apply_overrides(path, ["profiles.mini.vote.min_agreement=7", "+profiles.mini.vote.judge_all=true"])
    _, _, *found = unified_diff(before.split("\n"), path.read_text("utf-8").split("\n"), n=0)
    changed = [line.strip("+- ") for line in found if line[0] in "+-"]
    assert changed == ["min_agreement: 6", "min_agreement: 7", "judge_all: true"]
