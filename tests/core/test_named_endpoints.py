"""Named endpoints: written out where a section names them; their addresses are this machine's and no params."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from r2i.core.errors import ParamsError
from r2i.core.fingerprint import code_files
from r2i.core.params import Cluster, load_params
from r2i.core.servers import cluster_address

FILE = Path(__file__).parents[2] / "params.yaml"
LARGE = {"kind": "openai", "model": "large"}


def write(folder: Path, endpoints: dict[str, Any], teacher: Any = "large") -> Path:
    data = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    data["profiles"]["mini"]["endpoints"] |= endpoints
    data["profiles"]["mini"]["question"]["teacher"] = teacher
    data["profiles"]["mini"]["evaluate"]["endpoints"] = {"base": teacher}
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def test_a_name_stands_for_its_endpoint_and_its_address_comes_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, {"large": LARGE})
    profile = load_params(path).chosen
    assert profile.question.teacher == profile.evaluate.endpoints["base"]
    assert (profile.question.teacher.model, profile.question.teacher.base_url) == ("large", None)
    (tmp_path / "servers.yaml").write_text("large: http://one:8000/v1\n")
    assert load_params(path).chosen.question.teacher.base_url == "http://one:8000/v1"
    monkeypatch.setenv("R2I_SERVER_LARGE", "http://two:8000/v1")
    assert load_params(path).chosen.question.teacher.base_url == "http://two:8000/v1"


def test_two_labs_with_other_addresses_depend_on_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, {"large": LARGE})
    nowhere = code_files(load_params(path))
    monkeypatch.setenv("R2I_SERVER_LARGE", "http://one:8000/v1")
    assert code_files(load_params(path)) == nowhere
    write(tmp_path, {"large": LARGE | {"base_url": "http://two:8000/v1"}})
    monkeypatch.delenv("R2I_SERVER_LARGE")
    assert code_files(load_params(path)) == nowhere
    write(tmp_path, {"large": LARGE | {"model": "larger"}})
    assert code_files(load_params(path)) != nowhere


@pytest.mark.parametrize(
    ("teacher", "named"),
    [
        ("lage", "no endpoint 'lage' in the profile; its endpoints: large, mini"),
        (LARGE, "kind: openai needs base_url, or a name in `endpoints`"),
    ],
)
def test_a_name_that_is_none_and_a_server_without_address_are_refused(teacher: Any, named: str, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=named):
        load_params(write(tmp_path, {"large": LARGE}, teacher))


@pytest.mark.parametrize("text", ["- a list\n", "large: {url: x}\n", "large: [\n"])
def test_addresses_that_are_none_are_refused_with_the_file(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "servers.yaml").write_text(text)
    with pytest.raises(ParamsError, match=r"servers\.yaml"):
        load_params(write(tmp_path, {"large": LARGE}))


def test_an_address_with_a_password_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("R2I_SERVER_LARGE", "http://me:secret@one:8000/v1")
    with pytest.raises(ParamsError) as error:
        load_params(write(tmp_path, {"large": LARGE}))
    assert "secret" not in str(error.value)


def test_the_cluster_that_trains_is_where_this_machine_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("R2I_SERVER_RAY_CLUSTER", raising=False)
    assert cluster_address() is None
    (tmp_path / "servers.yaml").write_text("ray-cluster: http://one:8265\n")
    assert cluster_address() == "http://one:8265"
    monkeypatch.setenv("R2I_SERVER_RAY_CLUSTER", "http://two:8265")
    assert cluster_address() == "http://two:8265"
    with pytest.raises(ValueError, match="no param: take it out, and set \\$R2I_SERVER_RAY_CLUSTER"):
        Cluster.model_validate({"gpus_per_node": 6, "address": "http://head:8265"})
