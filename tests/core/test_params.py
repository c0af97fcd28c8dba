"""Every checked-in profile parses; what is wrong is named."""

import os
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import ValidationError

from bench.faults_locks import BASE_URL, KEY, SECRETS
from r2i.core.errors import ParamsError
from r2i.core.params import BenchmarkKind, BenchmarkSource, Cluster, Endpoint, Pool, load_params
from r2i.core.yaml_text import read_yaml

FILE = Path(__file__).parents[2] / "params.yaml"


@pytest.mark.parametrize("profile", ["mini", "smoke", "paper"])
def test_every_profile_is_complete_and_parses(profile: str, tmp_path: Path) -> None:
    data = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    data["profile"] = profile
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(data))
    assert load_params(path).chosen == load_params(FILE).profiles[profile]


def test_the_paper_profile_has_the_references_numbers() -> None:
    """REFERENCE: 6 of 8 votes, 3 questions, boxes below 10 %, clip 0.2 / 0.3, 384 / 96 prompts, 8 rollouts."""
    paper = load_params(FILE).profiles["paper"]
    assert sum(teacher.samples for teacher in paper.answer.teachers) == 8
    assert (paper.vote.min_agreement, paper.question.per_crop, paper.crop.max_area_share) == (6, 3, 0.1)
    assert (paper.crop.min_score, paper.sample.min_side, paper.drawing.outline.expand) == (0.75, 1201, 0.05)
    assert (paper.overlay.tries, paper.overlay.drop_at, paper.drawing.outline.line) == (4, 2, 5)
    dapo = paper.train.dapo
    assert (dapo.lr, dapo.clip_low, dapo.clip_high, dapo.kl, dapo.epochs) == (1e-6, 0.2, 0.3, 0, 3)
    assert (dapo.rollout_prompts, dapo.train_prompts, dapo.group_size) == (384, 96, 8)
    assert (dapo.max_prompt, dapo.max_response) == (25000, 2048)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("min_agreement: 6", "min_agrement: 6", "min_agrement"),
        ("min_agreement: 6", "min_agreement: six", "min_agreement"),
        ("min_score: 0.75", "min_score: 75", "min_score"),
        ("profile: mini", "profile: laptop", "laptop"),
    ],
)
def test_a_wrong_key_or_value_is_named(old: str, new: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(FILE.read_text(encoding="utf-8").replace(old, new))
    with pytest.raises(ParamsError, match=named):
        load_params(path)


def test_a_missing_file_says_where_to_run() -> None:
    with pytest.raises(ParamsError, match="repository's root"):
        load_params(Path("nowhere.yaml"))


def test_no_key_can_be_a_param() -> None:
    """Endpoints name an environment variable; a field that could hold a secret is refused."""
    from pydantic import ValidationError

    with pytest.raises(ValidationError, match="api_key"):
        Endpoint.model_validate({"kind": "openai", "model": "m", "base_url": "http://x/v1", "api_key": "sk-123"})


POOL = {"name": "photos", "path": "x"}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (POOL | {"kind": "folder", "scenes": 5}, "scenes"),
        (POOL | {"kind": "folder", "column": "photo"}, "column"),
        (POOL | {"kind": "tar", "column": "photo"}, "column"),
        (POOL | {"kind": "parquet", "scenes": 5}, "scenes"),
        ({"kind": "rendered", "name": "scenes", "scenes": 5, "path": "x"}, "path"),
        ({"kind": "rendered", "name": "scenes", "scenes": 5, "version": "5-abc"}, "version"),
        ({"kind": "rendered", "name": "scenes", "scenes": 5, "column": "photo"}, "column"),
    ],
)
def test_a_param_that_a_kind_of_pool_would_ignore_is_refused_by_name(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=f"kind: {given['kind']} takes no {named}; it takes .*name"):
        Pool.model_validate(given)
    assert Pool.model_validate({name: value for name, value in given.items() if name != named})


@pytest.mark.parametrize("kind", get_args(BenchmarkKind))
def test_a_param_that_a_kind_of_benchmark_would_ignore_is_refused_by_name(kind: str) -> None:
    given = {"kind": kind, "items": 5} | ({} if kind == "rendered" else {"path": "x"})
    assert BenchmarkSource.model_validate(given)
    others = {"columns": {"image": "photo"}, "box_unit": "shares", "box_form": "xywh", "path": "x"}
    boxed = {name: {"box_unit", "box_form", "path"} for name in ("cvbench", "reference", "zoombench")}
    taken = {"table": set(others), "rendered": set(), **boxed}.get(kind, {"path"})
    for name, value in others.items():
        if name in taken:
            assert BenchmarkSource.model_validate(given | {name: value})
        else:
            with pytest.raises(ValidationError, match=f"kind: {kind} takes no {name}"):
                BenchmarkSource.model_validate(given | {name: value})


def test_a_param_that_says_what_holds_anyway_is_let_be() -> None:
    pool = Pool(kind="folder", name="photos", path="x")
    assert Pool.model_validate(pool.model_dump()) == pool
    source = BenchmarkSource(kind="zoombench", path="x")
    assert BenchmarkSource.model_validate(source.model_dump()) == source


def write(folder: Path, old: str, new: str) -> Path:
    """params.yaml with `old`, which must be there, replaced once."""
    text = FILE.read_text(encoding="utf-8")
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
        load_params(write(tmp_path, "{min_agreement: 6,", "{min_agreement: 6, min_agreement: 2,"))


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
