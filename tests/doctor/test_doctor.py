"""What would stop a run is found before it: by small calls to servers, and by looking at what is on this machine."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from endpoint.fake_server import Answer, Server, choices, error, serve
from made_rows import make_row, picture
from PIL import Image
from typer.testing import CliRunner

from r2i.cli.main import app
from r2i.core import paths
from r2i.core.fingerprint import chosen_params
from r2i.core.images import jpeg_bytes
from r2i.core.params import Endpoint, Params, Pool, Rows, Sampling, load_params
from r2i.core.records import TRAIN
from r2i.core.tables import read_table, write_table
from r2i.doctor.check import Check
from r2i.doctor.data import check_pools
from r2i.doctor.machine import check_device, check_disk, check_memory_in_process, check_training, check_weights
from r2i.doctor.rows import check_rows
from r2i.doctor.servers import check_keys, check_servers, servers_of
from r2i.doctor.stages import is_light, stages_of
from r2i.endpoint.base import Picture, Request
from r2i.endpoint.remote import RemoteModel
from r2i.importing.digest import table_sha256
from r2i.importing.hash_cache import HashCache
from r2i.sample.pools import list_offers
from r2i.sample.version import list_pool
from r2i.tools.cost import Scale, Use, planned

ROOT = Path(__file__).parents[2]
KEY = "key-of-the-doctor-7f3a9c"


@pytest.fixture
def params() -> Params:
    return load_params(ROOT / "params.yaml")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("R2I_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("DVC_ROOT", raising=False)
    with serve() as state:
        state.answer = lambda body: choices(*["red"] * body.get("n", 1), model="big")
        yield state


def ask(url: str | None, timeout_s: float = 5.0, n: int = 4, **params: Any) -> Check:
    """Of a server that is shown two pictures, and asked for `n` samples and a schema."""
    given = {"kind": "openai", "model": "big", "base_url": url, "name": "teacher", **params}
    endpoint = Endpoint.model_validate(given)
    uses = [Use("question", endpoint, 1, 1, 2, 99, form=True), Use("answer", endpoint, 1, n, 1, 99)]
    (check,) = check_servers(servers_of(uses), timeout_s)
    assert check.what == "server teacher"
    return check


def test_a_server_that_can_all_gets_one_call_and_keeps_no_reply(server: Server, tmp_path: Path) -> None:
    check = ask(server.url, price={"input": 1, "output": 2})
    assert check.state == "ok" and "takes pictures, n, seed, JSON schema; price 1 / 2" in check.found
    (body,) = server.calls
    assert (body["n"], body["max_tokens"]) == (4, 32) and {"seed", "response_format"} <= body.keys()
    assert [part["type"] for part in body["messages"][0]["content"]] == ["image_url", "image_url", "text"]
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / "calls.jsonl").exists()


def test_what_it_refuses_is_told_and_known_to_the_run(server: Server) -> None:
    def few(body: dict[str, Any]) -> Answer:
        refused = next((name for name in ("n", "seed", "response_format") if name in body), None)
        return error(400, f"{refused} is not supported") if refused else choices("red", model="big")

    server.answer = few
    check = ask(server.url)
    assert check.state == "ok" and "takes pictures; no n: each sample is a call of its own; no seed" in check.found
    calls = len(server.calls)
    assert calls == 4
    model = RemoteModel(Endpoint(kind="openai", model="big", base_url=server.url))
    sampling = Sampling(temperature=1.0, max_tokens=8)
    model.complete([Request("?", (Picture.of(picture(9)),), sampling, seed=1, n=2)])
    assert len(server.calls) == calls + 2  # none of them is refused


def without_pictures(body: dict[str, Any]) -> Answer:
    if len(body["messages"][0]["content"]) > 1:
        return error(400, "At most 0 image(s) may be provided in one prompt.")
    return choices("red", model="big")


@pytest.mark.parametrize(
    ("answer", "state", "found"),
    [
        (without_pictures, "not ok", "refuses 2 pictures"),
        (lambda _: error(400, "Input is bad"), "not ok", "refuses a small call: Input is bad"),
        (lambda _: error(401, "no"), "not ok", "rejects the API key"),
        (lambda _: error(404, "no such model"), "not ok", "knows no model big"),
        (lambda _: error(402, "pay"), "not ok", "refuses the account"),
        (lambda _: error(503, "loading"), "not ok", "HTTP 503: loading"),
        (lambda _: Answer("<html>a page</html>"), "not ok", "no chat completion"),
        (lambda _: choices("red", model="small"), "note", "answers as small where big was asked for"),
        (lambda _: choices("blue", model="big"), "note", "says 'blue' of a red picture"),
        (lambda _: choices("re", model="big", finish="length"), "ok", "answers as big"),
    ],
)
def test_what_is_wrong_with_a_server_is_said_at_once(server: Server, answer: Any, state: str, found: str) -> None:
    server.answer = answer
    check = ask(server.url, n=1)
    assert (check.state, found in check.found) == (state, True), check
    assert check.remedy or state == "ok"
    assert len(server.calls) <= 2


def test_a_server_that_says_nothing_takes_seconds_and_one_without_an_address_none(server: Server) -> None:
    server.answer = lambda _: time.sleep(2) or choices("late")  # type: ignore[func-returns-value]
    began = time.monotonic()
    assert "no reply in" in ask(server.url, timeout_s=0.3).found
    assert time.monotonic() - began < 1.5
    assert ask("http://127.0.0.1:9/v1").state == "not ok"
    nowhere = ask(None)
    assert nowhere.state == "not ok" and "R2I_SERVER_TEACHER" in nowhere.remedy


def test_a_key_is_named_and_never_shown(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_KEY", KEY)
    server.answer = lambda _: error(401, f"the key {KEY} is not known")
    check = ask(server.url, api_key_env="TEACHER_KEY")
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    uses = [Use("answer", Endpoint(kind="openai", model="m", base_url=server.url, api_key_env=name), 1, 1, 1, 9)
            for name in ("TEACHER_KEY", "JUDGE_KEY")]  # fmt: skip
    checks = [check, *check_keys(servers_of(uses))]
    assert [one.state for one in checks] == ["not ok", "ok", "not ok"]
    assert KEY not in repr(checks)


@pytest.mark.parametrize("name", ["paper", "one-gpu"])
def test_each_server_of_a_profile_is_asked_as_its_stages_ask(params: Params, name: str) -> None:
    chosen = params.model_copy(update={"profile": name})
    found = {server.title: server for server in servers_of(planned(chosen, Scale(1, 1, 1)))}
    assert set(found) == set(chosen.chosen.endpoints)
    teacher, judge = found["qwen3-vl-235b"], found["judge"]
    assert (teacher.pictures, teacher.n, teacher.form) == (2, 4, True)
    assert teacher.stages == ("crop", "question", "answer", "overlay")
    assert (judge.pictures, judge.n) == (0, 1) and "vote" in judge.stages and "evaluate@base" in judge.stages
    assert not is_light(chosen, stages_of(chosen))


def test_mini_is_light_and_costs_nothing_to_look_at(params: Params, tmp_path: Path) -> None:
    assert is_light(params, stages_of(params))
    done = CliRunner().invoke(app, ["doctor", "--quiet", "--params", str(ROOT / "params.yaml")])
    assert (done.exit_code, done.output) == (0, "")


def test_the_command_says_all_and_ends_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("R2I_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "250")
    for variable in ("R2I_TEACHER_KEY", "R2I_JUDGE_KEY"):
        monkeypatch.delenv(variable, raising=False)
    command = ["doctor", "one-gpu", "--params", str(ROOT / "params.yaml")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1, done.output
    for word in ("$R2I_TEACHER_KEY", "R2I_SERVER_JUDGE", "SAM 2", "pool sa1b", "zoombench", "1 GPUs", "disk"):
        assert word in done.output, word
    quiet = CliRunner().invoke(app, [*command, "--quiet"])
    assert quiet.exit_code == 1 and "error: server judge" in quiet.output and "DOCTOR=" in quiet.output
    unknown = CliRunner().invoke(app, ["doctor", "nobody", "--params", str(ROOT / "params.yaml")])
    assert unknown.exit_code == 1 and "there are: mini" in unknown.output


def test_before_a_run_only_what_is_still_to_be_run_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The teacher has no address. Once `crop` was run with these params, nobody needs it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("R2I_SERVER_TEACHER", raising=False)
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    profile: dict[str, Any] = {
        "endpoints": {"teacher": {"kind": "openai", "model": "big"}},
        "sample": values["profiles"]["smoke"]["sample"],
        "crop": {"method": "teacher", "teacher": "teacher", "min_side": 8, "per_image": 3},
    }

    def quiet(**crop: int) -> int:
        profile["crop"] |= crop
        text = yaml.safe_dump(values | {"profile": "own", "profiles": {"own": profile}})
        (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
        done = CliRunner().invoke(app, ["doctor", "--quiet"])
        assert ("R2I_SERVER_TEACHER" in done.output) == bool(done.exit_code), done.output
        return done.exit_code

    assert quiet() == 1
    chosen = chosen_params(load_params(tmp_path / "params.yaml"))
    stages = {
        name: {"cmd": "x", "params": {"data/code/params.yaml": {key: chosen[key] for key in ("seed", name)}},
               "outs": [{"path": f"data/{name}", "md5": "1"}]}
        for name in ("sample", "crop")
    }  # fmt: skip
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}), encoding="utf-8")
    assert quiet() == 0
    assert quiet(min_side=9) == 1


def rows_in(folder: Path, params: Params, prompts: list[str], **dapo: Any) -> Params:
    """mini with `train.rows` of these prompts."""
    rows = [
        make_row(TRAIN, row_id=f"row-{number}", image_id=f"i{number}", prompt=prompt, image=picture(number),
                 view="boxed", label="A", options=["1", "2"], answer="1", question="?")
        for number, prompt in enumerate(prompts)
    ]  # fmt: skip
    write_table(folder / "rows", rows, TRAIN)
    mini = params.profiles["mini"]
    train = mini.train.model_copy(update={
        "rows": Rows(path=str(folder / "rows"), sha256=table_sha256(folder / "rows")),
        "base": str(ROOT / "models/mini"), "dapo": mini.train.dapo.model_copy(update=dapo),
    })  # fmt: skip
    return params.model_copy(update={"profiles": {"mini": mini.model_copy(update={"train": train})}})


def test_every_row_is_measured_as_the_trainer_measures_it(params: Params, tmp_path: Path) -> None:
    prompts = ["what is it?"] * 3 + ["what is it " * 40, "a <|image_pad|> in it"]
    found, usable = check_rows(rows_in(tmp_path, params, prompts, rollout_prompts=3, train_prompts=3), own=False)
    assert usable == 3
    assert [check.state for check in found] == ["note", "ok"], found
    assert "5 rows" in found[0].found and "1 are longer" in found[0].found and "1 are unfit" in found[0].found
    assert "max_prompt" in found[0].remedy
    found, _ = check_rows(rows_in(tmp_path, params, prompts, rollout_prompts=4, train_prompts=4), own=False)
    assert found[0].state == "not ok" and "3 don't fill one rollout batch of 4" in found[0].found


def test_the_picture_of_every_row_is_looked_at(params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last has another size, or is cut off; then no length is as the processor makes it."""
    given = rows_in(tmp_path, params, ["what is it?"] * 12, rollout_prompts=3, train_prompts=3)
    table = read_table(tmp_path / "rows", TRAIN, "")

    def look(image: bytes) -> Check:
        shutil.rmtree(tmp_path / "rows")
        write_table(tmp_path / "rows", [*table[:-1], table[-1] | {"image": image}], TRAIN)
        rows = Rows(path=str(tmp_path / "rows"), sha256=table_sha256(tmp_path / "rows"))
        mini = given.profiles["mini"]
        mini = mini.model_copy(update={"train": mini.train.model_copy(update={"rows": rows})})
        found, _ = check_rows(given.model_copy(update={"profiles": {"mini": mini}}), own=False)
        return found[1]

    large = jpeg_bytes(Image.new("RGB", (256, 128)))
    assert (look(large).state, look(large).found) == ("ok", "as many as features in all 12 rows, of 2 sizes")
    cut = look(jpeg_bytes(Image.effect_noise((128, 128), 90).convert("RGB"))[:-900])
    assert cut.state == "note" and "of 1 can't be read (row-9)" in cut.found
    monkeypatch.setattr("r2i.doctor.rows.token_counter", lambda _: lambda prompt, width, height: width // 8)
    assert look(large).found.startswith("of 12 rows 12 don't agree") and look(large).state == "not ok"


def test_rows_that_are_no_longer_those_of_params_would_stop_the_run(params: Params, tmp_path: Path) -> None:
    changed = rows_in(tmp_path, params, ["a"])
    rows_in(tmp_path, params, ["b"])
    ((check,), usable) = check_rows(changed, own=False)
    assert check.state == "not ok" and "digest" in check.found and usable is None
    assert check_rows(params, own=False) == ([], None)


def test_weights_are_here_fetched_or_missing(params: Params, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(ROOT)
    chosen = params.model_copy(update={"profile": "one-gpu"})
    stages = stages_of(chosen)
    uses = [use for use in planned(chosen, Scale(1, 1, 1)) if use.stage in stages]
    for offline, state in (("1", "not ok"), ("0", "note")):
        monkeypatch.setenv("HF_HUB_OFFLINE", offline)
        checks = list(check_weights(chosen, uses, stages))
        assert [check.state for check in checks] == [state, state]
        assert all("hf download" in check.remedy for check in checks)
    (mini,) = check_weights(params, planned(params, Scale(1, 1, 1)), stages_of(params))
    assert (mini.what, mini.state) == ("weights models/mini", "ok")


def test_servers_on_one_device_take_turns_or_fit_together(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(free: float, share: bool = True, **dapo: Any) -> Check:
        profile = params.profiles["one-card"]
        execution = profile.execution.model_copy(update={"share_device": share})
        train = profile.train.model_copy(update={"dapo": profile.train.dapo.model_copy(update=dapo)})
        changed = profile.model_copy(update={"execution": execution, "train": train})
        chosen = params.model_copy(update={"profile": "one-card", "profiles": {"one-card": changed}})
        monkeypatch.setattr("r2i.doctor.machine._free_share", lambda: free)
        (found,) = check_device(chosen, stages_of(chosen))
        return found

    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert look(free=0.95).state == "ok"
    assert look(free=0.5).found.endswith("at most 92% of it, and 50% is free")
    at_once = look(free=0.95, share=False)
    assert (at_once.state, at_once.remedy) == ("not ok", "set execution.share_device: true")
    assert at_once.found.endswith("in answer, overlay")
    judged = look(free=0.95, judge=params.profiles["one-card"].evaluate.judge)
    assert (judged.state, "train@dapo starts one while it trains" in judged.found) == ("not ok", True)


def test_a_training_that_would_not_fit_its_card_would_stop_the_run(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = params.profiles["one-gpu"].train
    state = {check.what: check.state for check in check_memory_in_process(train, ["opd", "sft"])}
    assert state == {"train@opd: memory": "not ok", "train@sft: memory": "ok"}  # 88 and 71 of 80 GiB
    small = train.model_copy(update={"cluster": train.cluster.model_copy(update={"gpu_memory_gib": 24.0})})
    for each, expected in ((train, "ok"), (small, "not ok")):
        assert {c.state for c in check_training(each, 1000) if c.what == "train: memory"} == {expected}
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda at: SimpleNamespace(total_memory=24 * 2**30))
    (check,) = check_memory_in_process(train, ["sft"])
    assert check.state == "not ok" and "of 24 GiB of this GPU" in check.found
    assert all(check.state == "ok" for check in check_memory_in_process(params.profiles["mini"].train, ["dapo"]))


def test_a_disk_has_room_for_the_models_too(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 4B model in bf16 twice, and three checkpoints of 12 bytes a parameter: 4.4e9 * (4 + 36) = 165 GiB."""
    monkeypatch.setattr("r2i.doctor.machine.free_mib", lambda folder: 100 * 1024)
    params = params.model_copy(update={"profile": "released"})
    assert check_disk(params, 0).state == check_disk(params, 0, {"dapo"}).state == "ok"
    found = check_disk(params, 0, {"sft"})
    assert found.state == "not ok" and 150 < float(found.found.split()[-1]) < 180


def test_a_pool_is_there_pinned_and_unchanged(params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)

    def look(**pool: Any) -> Check:
        given = Pool.model_validate({"kind": "folder", "name": "mine", "path": "photos", **pool})
        mini = params.profiles["mini"]
        sample = mini.sample.model_copy(update={"pools": [given]})
        profiles = {"mini": mini.model_copy(update={"sample": sample})}
        (check,) = check_pools(params.model_copy(update={"profiles": profiles}), files=False)
        return check

    assert look().state == "not ok"
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(picture(1))
    (tmp_path / "photos" / "gone.jpg").symlink_to("nowhere.jpg")
    assert look().state == "note" and "r2i pool version mine --write" in look().remedy
    assert look(version="2-" + "0" * 32).state == "not ok"
    with HashCache(paths.pool_hashes()) as cache:
        pool = Pool(kind="folder", name="mine", path="photos")
        version = list_pool(list_offers(pool, 0, cache)).version
    assert look(version=version).state == "ok"


def test_the_price_of_a_check_is_small(server: Server) -> None:
    ask(server.url)
    assert len(json.dumps(server.calls)) < 20_000  # bytes that are sent
