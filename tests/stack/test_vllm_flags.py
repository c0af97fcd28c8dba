"""vLLM's own parsers: the server that `kind: vllm` starts, and the engines that OpenRLHF starts."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vllm")
pytest.importorskip("openrlhf")

import vllm
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.platforms import current_platform
from vllm.utils.argparse_utils import FlexibleArgumentParser

from r2i.core.params import Endpoint, load_params
from r2i.endpoint.launch import server_command
from r2i.train.openrlhf.flags import engines

ROOT = Path(__file__).parents[2]
USUAL = ["--tensor-parallel-size", "2", "--gpu-memory-utilization", "0.3", "--enforce-eager", "--dtype", "bfloat16"]
Parse = Callable[[list[str]], Any]


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Parse:
    """Of `vllm serve ...`, as the program `vllm` builds it where there is a GPU."""
    monkeypatch.setattr(type(current_platform), "device_type", "cuda")  # it makes its defaults for a device
    parser = FlexibleArgumentParser()
    command = ServeSubcommand()
    command.subparser_init(parser.add_subparsers(dest="subparser"))

    def run(arguments: list[str]) -> Any:
        args = parser.parse_args(arguments)
        command.validate(args)
        return args

    return run


def test_it_takes_the_server_that_we_start(parse: Parse, tmp_path: Path) -> None:
    endpoint = Endpoint(kind="vllm", model=str(ROOT / "models/mini"), image_folder=str(tmp_path), flags=USUAL)
    program, *arguments = server_command(endpoint, 8123)
    assert program == "vllm"
    args = parse(arguments)
    assert (args.model_tag, args.host, args.port) == (endpoint.model, "127.0.0.1", 8123)
    assert args.served_model_name == [endpoint.model]
    assert args.allowed_local_media_path == str(tmp_path)
    assert (args.tensor_parallel_size, args.enforce_eager) == (2, True)


def test_it_takes_what_the_guides_recommend(parse: Parse) -> None:
    endpoint = Endpoint(kind="vllm", model="Qwen/Qwen3-VL-8B-Instruct", flags=["--disable-uvicorn-access-log"])
    assert parse(server_command(endpoint, 1)[1:]).disable_uvicorn_access_log


def test_it_takes_the_commands_of_the_guide(parse: Parse) -> None:
    lines = re.findall(r"^\$ (.*vllm serve .*)$", (ROOT / "docs/serving.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(lines) >= 6
    for line in lines:
        words = shlex.split(line)
        args = parse(words[words.index("serve") :])
        assert args.model_tag == words[words.index("serve") + 1]
        assert args.limit_mm_per_prompt is None or set(args.limit_mm_per_prompt) <= {"image", "video"}


def test_it_takes_the_servers_of_every_profile(parse: Parse) -> None:
    profiles = load_params(ROOT / "params.yaml").profiles.values()
    started = [end for profile in profiles for end in profile.endpoints.values() if end.kind == "vllm"]
    assert len(started) >= 4
    for end in started:
        assert parse(server_command(end, 1)[1:]).model_tag == end.model


def test_it_refuses_a_flag_that_it_does_not_have(parse: Parse) -> None:
    endpoint = Endpoint(kind="vllm", model="m", flags=["--tensor-paralel-size", "2"])
    with pytest.raises(SystemExit):
        parse(server_command(endpoint, 1)[1:])


@pytest.mark.parametrize("name", ["paper", "one-gpu"])
def test_its_engine_takes_what_openrlhf_passes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The arguments that reach RolloutRayActor, less its own, are those of vLLM's AsyncEngineArgs."""
    from openrlhf.trainer.ray import vllm_engine

    train = load_params(ROOT / "params.yaml").profiles[name].train
    asked: list[dict[str, Any]] = []

    class Actor:
        @staticmethod
        def options(**_: Any) -> type["Actor"]:
            return Actor

        @staticmethod
        def remote(**kwargs: Any) -> None:
            asked.append(kwargs)

    monkeypatch.setattr(vllm_engine, "RolloutRayActor", Actor)
    monkeypatch.setattr(vllm_engine, "batch_vllm_engine_call", lambda *_, **__: None)
    monkeypatch.setattr(vllm_engine, "PlacementGroupSchedulingStrategy", lambda **_: None)
    cluster, dapo = train.cluster, train.dapo
    vllm_engine.create_vllm_engines(
        engines(cluster), cluster.tensor_parallel, str(ROOT / "models/mini"), 0, False, True, cluster.enforce_eager,
        dapo.max_prompt + dapo.max_response, object(), cluster.memory_share, True, None,
        agent_func_path="agent.py", remote_rm_url=["agent"], max_images_per_prompt=1,
    )  # fmt: skip
    assert len(asked) == engines(cluster)
    own = {"bundle_indices", "agent_func_path", "remote_rm_url", "mm_pad_token_ids", "num_gpus", "full_determinism"}
    args = vllm.AsyncEngineArgs(**{key: value for key, value in asked[0].items() if key not in own})
    assert args.max_model_len == dapo.max_prompt + dapo.max_response
    assert args.limit_mm_per_prompt == {"image": 1} and args.enable_sleep_mode and args.enable_prefix_caching
    assert asked[0]["mm_pad_token_ids"], "the student's processor names its image pads"
