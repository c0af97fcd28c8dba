"""Which stages of a lock are of the chosen params: all that shows or shares asks here."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from r2i.core import paths
from r2i.core.fingerprint import CHOSEN_PARAMS, chosen_params
from r2i.core.params import Params, load_params
from r2i.repo.lock import Lock
from r2i.repo.profile import Run, split, stage_names

ROOT = Path(__file__).parents[2]
DATA = ("sample", "crop", "question", "answer", "vote", "overlay")


def values(profile: str, **changes: Any) -> Params:
    """The repository's params, the profile `photos` beside them: smoke without `changes` that are None."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    photos = raw["profiles"]["smoke"] | changes
    raw["profiles"]["photos"] = {name: section for name, section in photos.items() if section is not None}
    return Params.model_validate(raw | {"profile": profile})


def make_lock(params: Params, before: Lock | None = None, *stages: str) -> Lock:
    """What `dvc repro` of all stages, or of `stages` over the lock `before`, writes for the repository's dvc.yaml.

    A hash is one of the stage, its params and what it read.
    """
    dag = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    chosen = chosen_params(params)
    entries = {
        f"{name}@{key}" if key else name: (stage.get("do", stage), key)
        for name, stage in dag.items()
        for key in (getattr(params, stage["foreach"].strip("${}")) if "foreach" in stage else [""])
    }
    found: dict[str, Any] = dict(before.stages) if before else {}
    for name in stages or entries:
        entry, key = entries[name]
        run = params.runs.get(key)
        filled = str(entry).replace("${key}", key).replace("${item.folder}", run.folder if run else "")
        entry = yaml.safe_load(
            filled.replace("${item.needs}", params.models[key].needs if key in params.models else "")
        )
        keys = [key for item in entry.get("params", []) for file in item.values() for key in file]
        ran = {key: look_up(chosen, key) for key in keys}
        md5s = {out["path"]: out["md5"] for stage in found.values() for out in stage["outs"]}
        deps = [{"path": path, "md5": hash_of(path, md5s)} for path in entry["deps"]]
        outs = [next(iter(out)) if isinstance(out, dict) else out
                for role in ("outs", "metrics", "plots") for out in entry.get(role, [])]  # fmt: skip
        found[name] = {
            "deps": deps,
            "params": {f"{paths.CODE}/{CHOSEN_PARAMS}": ran} if keys else {},
            "outs": [{"path": path, "md5": digest(name, ran, deps)} for path in outs],
        }
    return Lock(found, frozenset({"pretrain"}), frozenset())


def look_up(tree: Any, key: str) -> Any:
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


def hash_of(path: str, md5s: dict[str, str]) -> str:
    """Of an output, or of a folder of several."""
    return md5s.get(path) or digest(*sorted(md5 for name, md5 in md5s.items() if name.startswith(f"{path}/")))


def digest(*parts: Any) -> str:
    return hashlib.md5(str(parts).encode()).hexdigest()


def judge(lock: Lock, params: Params) -> Run:
    return split(lock, params, frozenset(make_lock(params).stages))


MINI = make_lock(values("mini"))


def test_a_run_is_of_its_profile_and_of_no_other() -> None:
    assert judge(MINI, values("mini")).leftovers == {}
    other = judge(MINI, values("photos"))
    assert other.ran == [] and set(other.own.stages) == {"code", "pretrain"}
    assert {found.origin for found in other.leftovers.values()} == {"profile mini"}  # `audit`, without params, too
    assert not other.owns(paths.metrics("evaluate")) and other.owns(paths.MODELS / "mini")


@pytest.mark.parametrize("dropped", [("train", "benchmark", "evaluate"), ()])
def test_after_a_part_of_the_run_the_rest_is_of_the_other_profile(dropped: tuple[str, ...]) -> None:
    """Also where the profiles have most sections in common: what read the other's rows is of the other's run."""
    params = values("photos", **dict.fromkeys(dropped))
    run = judge(make_lock(params, make_lock(values("mini")), *DATA), params)
    assert set(DATA) <= set(run.ran) and {"train@dapo", "score", "audit", "report"} <= set(run.foreign)
    assert run.foreign == list(run.leftovers)
    assert run.told(run.foreign).endswith("(profile mini)") and run.told(run.foreign).count("(") == 1
    whole = make_lock(params)
    assert judge(whole, params).leftovers == {} and judge(whole, values("mini")).ran == []


def test_another_param_of_the_same_profile_is_an_earlier_run_and_so_is_what_follows() -> None:
    params = values("mini")
    section = params.chosen.vote.model_copy(update={"min_agreement": 7})
    changed = params.model_copy(
        update={"profiles": {**params.profiles, "mini": params.chosen.model_copy(update={"vote": section})}}
    )
    run = judge(MINI, changed)
    assert run.foreign == [] and "answer" in run.ran and "vote" in run.leftovers and "score" in run.leftovers
    assert run.leftovers["overlay"].why == "vote: vote.min_agreement was 6, is 7"
    again = judge(make_lock(changed, MINI, "vote"), changed)
    assert again.leftovers["overlay"].why == "overlay read another data/vote/votes than vote left"


def test_a_stage_that_the_pipeline_no_longer_has_is_told_as_such() -> None:
    params = values("mini")
    lock = Lock(
        {**MINI.stages, "evaluate@gone": {"outs": [{"path": "data/evaluate/gone", "md5": "0"}]}},
        *[frozenset[str]()] * 2,
    )
    run = judge(lock, params)
    assert run.foreign == ["evaluate@gone"] and run.told(run.foreign) == "evaluate@gone (no stage of dvc.yaml)"
    assert run.owns(paths.metrics("evaluate"))


def test_stages_are_named_as_dvc_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert stage_names() == frozenset(MINI.stages)
    assert load_params().profile == "mini"
