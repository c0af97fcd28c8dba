"""docs/serving.md has a command for every server that a profile names, and its arithmetic is right."""

import re
import shlex
from pathlib import Path

import pytest

from r2i.core.params import load_params
from r2i.core.servers import variable

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
CARD, WORK = 80.0, 4.0  # GB: of a card, and of activations and graphs on it


def served(block: str) -> tuple[str, list[str], str, str]:
    """Model, arguments, and the variable and port of the address, of one block."""
    command, address = (line.removeprefix("$ ") for line in block.strip().splitlines())
    words = shlex.split(command)
    start = words.index("serve")
    name, _, url = address.removeprefix("export ").partition("=")
    return words[start + 1], words[start + 2 :], name, url.rpartition(":")[2].partition("/")[0]


def option(arguments: list[str], name: str, default: str) -> str:
    return arguments[arguments.index(name) + 1] if name in arguments else default


@pytest.mark.parametrize("profile", list(load_params(ROOT / "params.yaml").profiles))
def test_every_server_of_a_profile_has_its_command(profile: str) -> None:
    commands = {(model, name) for model, _, name, _ in map(served, BLOCKS)}
    endpoints = load_params(ROOT / "params.yaml").profiles[profile].endpoints
    wanted = {(end.model, variable(name)) for name, end in endpoints.items() if end.kind == "openai"}
    assert wanted <= commands, "write a block for it into docs/serving.md"


def test_addresses_have_the_port_of_their_command_and_no_key_is_an_argument() -> None:
    for _, arguments, _, port in map(served, BLOCKS):
        assert option(arguments, "--port", "") == port
        assert "--api-key" not in arguments


def test_the_table_is_what_the_commands_take() -> None:
    rows = re.findall(r"^\| ([\w./-]+/[\w.-]+) \| (.+) \|$", PAGE, re.MULTILINE)
    first = {model: arguments for model, arguments, _, _ in reversed([*map(served, BLOCKS)])}
    assert {model for model, _ in rows} == set(first)
    for model, cells in rows:
        parameters, width, gpus, weights, token_kb, left, tokens = (
            float(cell.replace(",", "")) for cell in cells.split(" | ")
        )
        arguments = first[model]
        sharded = int(option(arguments, "--tensor-parallel-size", "1"))
        sharded *= int(option(arguments, "--pipeline-parallel-size", "1"))
        assert gpus == sharded, model
        assert weights == pytest.approx(parameters * width / gpus, abs=0.06), model
        share = float(option(arguments, "--gpu-memory-utilization", "0.92"))
        assert left == pytest.approx(share * CARD - parameters * width / gpus - WORK, abs=0.06), model
        assert tokens == pytest.approx(left * 1e6 / token_kb, rel=0.01), model
        assert tokens > float(option(arguments, "--max-model-len", "0")), f"{model}: not one sequence fits"


def test_every_engine_of_the_one_card_fits_it() -> None:
    rows = re.findall(r"^\| ([\w-]+) \| ([\w./-]+/[\w.-]+) \| (.+) \|$", PAGE, re.MULTILINE)
    endpoints = load_params(ROOT / "params.yaml").profiles["one-card"].endpoints
    assert {name: model for name, model, _ in rows} == {name: end.model for name, end in endpoints.items()}
    for name, _, cells in rows:
        parameters, weights, token_kb, left, tokens = (float(cell.replace(",", "")) for cell in cells.split(" | "))
        flags = dict(flag.split("=", 1) for flag in endpoints[name].flags if "=" in flag)
        assert weights == pytest.approx(2 * parameters, abs=0.06), name
        assert left == pytest.approx(float(flags["--gpu-memory-utilization"]) * CARD - weights - WORK, abs=0.06), name
        assert tokens == pytest.approx(left * 1e6 / token_kb, rel=0.01), name
        assert tokens > float(flags["--max-model-len"]), name
