"""What params.yaml may not hold: secrets, values that are none, texts that would end the process."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.faults_locks import BASE_URL, KEY, SECRETS, params_with_an_address
from r2i.core.errors import ParamsError
from r2i.core.params import Cluster, Endpoint, load_params
from r2i.core.yaml_text import read_yaml

FILE = Path(__file__).parents[2] / "params.yaml"


def write(folder: Path, old: str, new: str) -> Path:
    """params.yaml with `old`, which must be there, replaced once."""
    text = params_with_an_address()
    assert old in text
    path = folder / "params.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize(("old", "new"), SECRETS)
def test_a_secret_in_any_profile_is_refused_and_never_repeated(old: str, new: str, tmp_path: Path) -> None:
    with pytest.raises(ParamsError) as caught:
        load_params(write(tmp_path, old, new))
    said = str(caught.value)
    assert KEY not in said and KEY.upper() not in said and ("api_key_env" in said or "export" in said)


@pytest.mark.parametrize("flag", ["--logger.wandb.key", "--use_wandb_token", "--ray.password=x"])
def test_an_argument_of_the_trainer_that_holds_a_secret_is_refused_by_name(flag: str) -> None:
    with pytest.raises(ValueError, match=flag.partition("=")[0]):
        Cluster.model_validate({"flags": [flag, KEY]})


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=8),
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=12, max_size=60),
)
def test_no_password_passes_in_an_address_and_none_is_repeated(user: str, password: str) -> None:
    for url in (f"http://{user}:{password}@h/v1", f"https://{password}@h/v1", f"http://h/v1?{user}={password}"):
        with pytest.raises(ValueError, match="base_url") as caught:
            Endpoint(kind="openai", base_url=url)
        told = "; ".join(str(error["msg"]) for error in caught.value.errors())  # type: ignore[attr-defined]
        assert password not in told


def test_arguments_that_only_sound_like_secrets_pass() -> None:
    flags = [
        "--max-num-batched-tokens", "8192", "--tokenizer", "x", "--ssl-keyfile", "/etc/key.pem",
        "--skip-tokenizer-init",        "--data.input_key", "prompt", "--eos-token", "</s>", "--api-server-count", "2",
    ]  # fmt: skip
    variables = {"CUDA_VISIBLE_DEVICES": "0", "TOKENIZERS_PARALLELISM": "false"}
    Endpoint.model_validate({"kind": "vllm", "flags": flags, "env": variables, "api_key_env": "MY_SECRET_KEY_2"})
    for url in ("http://[::1]:8000/v1", "https://host.example/a/b/v1/", "http://teacher.invalid"):
        Endpoint.model_validate({"kind": "openai", "base_url": url})


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://h:99999/v1", "ftp://h/v1", "h:8000/v1", "http:///v1", "http://h /v1"]
)
def test_an_address_that_is_none_is_refused_when_the_params_are_read(url: str, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="base_url is no address"):
        load_params(write(tmp_path, BASE_URL, f'base_url: "{url}"'))


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan", "1e400", "inf", "NaN"])
@pytest.mark.parametrize("key", ["temperature: 0.9", "lr: 1.0e-4"])
def test_a_number_that_is_not_finite_is_refused(key: str, value: str, tmp_path: Path) -> None:
    name = key.partition(":")[0]
    with pytest.raises(ParamsError, match=name):
        load_params(write(tmp_path, key, f"{name}: {value}"))


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="min_agreement stands twice"):
        load_params(write(tmp_path, "      min_agreement: 6\n", "      min_agreement: 6\n      min_agreement: 2\n"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_params_in_another_encoding_are_an_error_that_says_so(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(FILE.read_text(encoding="utf-8").replace("title: Base", "title: Bäse").encode(encoding))
    with pytest.raises(ParamsError, match=r"UTF-8|not YAML"):
        load_params(path)


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 5_000, "a: &a [*a]", "", "- 1", "seed: 0\x00"])
def test_no_text_at_all_gives_a_traceback(text: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError):
        load_params(path)


def test_a_pipe_or_folder_in_place_of_the_params_is_an_error_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ParamsError, match="repository's root"):
            load_params(path)


def test_dvc_and_the_stages_read_the_same_params() -> None:
    from dvc.utils.serialize import load_yaml

    assert read_yaml(FILE.read_text(encoding="utf-8")) == load_yaml(str(FILE))
