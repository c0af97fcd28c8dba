"""The stages that call models, against servers that take few options, and against one that is gone."""

import importlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
import yaml
from endpoint.fake_server import Answer, Server, choices, error, serve
from made_rows import image_row, make_row, picture, region_row

from r2i.core import paths
from r2i.core.errors import EndpointError
from r2i.core.params import load_params
from r2i.core.records import ANSWERS, BENCHMARK, IMAGES, OK, QUESTIONS, REGIONS, TRAIN, VOTES
from r2i.core.tables import read_table, write_table

ROOT = Path(__file__).parents[2]
STAGES = ("question", "answer", "vote", "overlay")
NUMBERS = range(6)
CUT = {f"image-{number}": f"s{number // 2}" for number in NUMBERS}  # three shards
NOWHERE = "http://127.0.0.1:9/v1"
TABLES = {"question": (paths.QUESTIONS, QUESTIONS), "answer": (paths.ANSWERS, ANSWERS), "vote": (paths.VOTES, VOTES),
          "overlay": (paths.TRAIN, TRAIN)}  # fmt: skip


def say(prompt: str, number: int) -> str:
    """A teacher, a judge and a student in one."""
    if prompt.startswith("write"):
        return 'Here you are: [{"question": "what digit is on the red square?", "dimension": "ocr"}]'
    if prompt.endswith("check"):
        return json.dumps(
            dict.fromkeys(("answerable_from_crop", "one_clear_answer", "same_in_both", "names_target"), True)
        )
    if prompt.startswith("Several people"):
        counts = [int(count) for count in re.findall(r"given (\d+) times", prompt)]
        groups = [{"answers": [place], "count": count} for place, count in enumerate(counts, 1)]
        return json.dumps({"groups": groups})
    if prompt.endswith("wrong answers"):
        return '["3", "8", "1"]'
    if prompt.endswith("choose"):
        return "<answer>A</answer>"
    return "<answer>6</answer>" if number % 4 == 0 else "<answer>5</answer>"


class Few:
    """A server without n, seed and schema; pictures are counted of the calls that it refuses."""

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        self.answered = 0

    def __call__(self, body: dict[str, Any]) -> Answer:
        for name in ("n", "seed", "response_format"):
            if name in body:
                self.refused[name] += 1
                return error(400, f"{name} is not supported")
        self.answered += 1
        return choices(say(body["messages"][0]["content"][-1]["text"], self.answered))


def endpoint(url: str, **params: Any) -> dict[str, Any]:
    return {"kind": "openai", "model": "big", "base_url": url, "concurrency": 2, "retries": 0, **params}


def write_params(of: Callable[[str], dict[str, Any]], **execution: Any) -> None:
    """Params with the endpoint that `of` gives for each use of a model."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    profile = params["profiles"]["smoke"]
    profile["execution"] = execution
    profile["question"]["teacher"] = of("question")
    for teacher in profile["answer"]["teachers"]:
        teacher["endpoint"] = of("answer")
    profile["vote"] |= {"judge": "llm", "judge_all": True, "endpoint": of("vote"), "sampling": {"temperature": 0.3}}
    profile["vote"]["min_agreement"] = 5
    profile["overlay"] |= {"teacher": of("overlay teacher"), "student": of("overlay student"), "drop_at": 5}
    profile["crop"] |= {"method": "teacher", "teacher": of("crop"), "listing": {"max_tokens": 99}}
    judge = {"endpoint": of("evaluate judge"), "max_calls": 9}
    profile["evaluate"] |= {"endpoints": {"base": of("evaluate")}, "judge": judge, "attention": None, "samples": 0}
    Path("params.yaml").write_text(yaml.safe_dump(params | {"profile": "smoke"}), encoding="utf-8")
    load_params()


def run(stage: str) -> None:
    importlib.import_module(f"stages.{stage}").main(Path("params.yaml"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the tables of `sample` and `crop`, in three shards."""
    monkeypatch.chdir(tmp_path)
    make_folder(monkeypatch)
    return tmp_path


def make_folder(patch: pytest.MonkeyPatch) -> None:
    for name in ("R2I_STORE", "R2I_REPLIES", "DVC_ROOT"):
        patch.delenv(name, raising=False)
    write_table(paths.IMAGES, [image_row(number) for number in NUMBERS], IMAGES, CUT)
    write_table(paths.REGIONS, [region_row(number) for number in NUMBERS], REGIONS, CUT)


@pytest.mark.parametrize(("workers", "concurrency"), [(1, 2), (2, 16)])
def test_over_four_stages_a_refused_option_costs_one_call(folder: Path, workers: int, concurrency: int) -> None:
    few = Few()
    with serve() as server:
        server.answer = few
        write_params(lambda _: endpoint(server.url, concurrency=concurrency), workers=workers)
        for stage in STAGES:
            run(stage)
            counts = json.loads(paths.metrics(stage).read_text())
            assert "failed" not in counts["calls"]["big"], stage
    assert few.refused == {"n": 1, "seed": 1, "response_format": 1}
    assert {row["status"] for row in read_table(paths.VOTES, VOTES, "vote")} == {OK}
    # a region: written, checked; a question: eight answers, a judgement, wrong answers, four tries
    assert few.answered == len(NUMBERS) * (2 + 8 + 1 + 1 + 4)
    notes = {path.stem for path in Path(".r2i/servers").glob("big-*/*.json")}
    assert {"n", "seed", "response_format", "max_tokens"} <= notes


def all_bytes() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for root in ("data", "metrics") for path in sorted(Path(root).rglob("*.*"))}


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("finished")
    with serve() as server, pytest.MonkeyPatch.context() as patch, chdir(root):
        make_folder(patch)
        server.answer = Few()
        write_params(lambda _: endpoint(server.url))
        for stage in STAGES:
            run(stage)
    yield root


@pytest.fixture
def finished(folder: Path, finished_once: Path) -> Path:
    """The four stages have run well."""
    shutil.copytree(finished_once, folder, dirs_exist_ok=True)
    return folder


@pytest.mark.parametrize(
    ("gone", "workers"),
    [("question", 1), ("question", 2), ("answer", 1), ("vote", 1), ("overlay teacher", 1), ("overlay student", 1)],
)
def test_a_server_that_is_gone_is_an_error_and_what_was_good_stays(
    finished: Path, gone: str, workers: int, server: Server
) -> None:
    before, stage = all_bytes(), gone.split()[0]
    server.answer = Few()
    other = endpoint(server.url, concurrency=16)
    write_params(lambda use: endpoint(NOWHERE, model="gone", concurrency=16) if use == gone else other, workers=workers)
    shutil.rmtree(f".r2i/shards/{stage}")
    with pytest.raises(EndpointError) as caught:
        run(stage)
    silent = r"there was no reply at all: (\d+) of \1 samples of gone failed \(\1 connection\)"
    assert re.fullmatch(silent, caught.value.cause)
    assert "base_url" in caught.value.remedy and f"dvc repro {stage}" in caught.value.remedy
    assert all_bytes() == before


@pytest.fixture
def server() -> Any:
    with serve() as state:
        yield state


def test_a_server_that_is_gone_when_checks_begin_is_an_error_though_it_wrote_questions(
    folder: Path, server: Server
) -> None:
    few = Few()
    server.answer = lambda body: error(503) if "check" in json.dumps(body["messages"])[-40:] else few(body)
    write_params(lambda _: endpoint(server.url, patience_s=0.01))
    with pytest.raises(EndpointError, match="no row is ok: 6 of 12 samples of big failed"):
        run("question")
    assert not paths.QUESTIONS.exists()
    server.answer = few
    answered = few.answered
    run("question")
    assert few.answered - answered == len(NUMBERS)  # questions that were paid for are kept


def test_few_missing_replies_are_a_warning_that_says_how_many(
    folder: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    few, writes = Few(), Counter[str]()

    def answer(body: dict[str, Any]) -> Answer:
        writes["all"] += 1
        return error(500) if writes["all"] in (9, 11) else few(body)

    server.answer = answer
    write_params(lambda _: endpoint(server.url))
    run("question")
    told = capsys.readouterr().err
    assert re.search(r"warning: 2 of \d+ samples of big failed \(2 server_error\); `dvc repro --force", told)
    assert json.loads(paths.metrics("question").read_text())["calls"]["big"]["failed"] == {"server_error": 2}


def test_a_stage_with_nothing_to_ask_is_fine_without_a_server(finished: Path) -> None:
    before = all_bytes()
    write_params(lambda _: endpoint(NOWHERE))
    for stage in STAGES:
        shutil.rmtree(f".r2i/shards/{stage}")
        run(stage)  # from the store
    assert all_bytes() == before


def test_a_teacher_that_lists_nothing_because_it_is_gone_is_an_error_of_crop(folder: Path) -> None:
    write_params(lambda _: endpoint(NOWHERE))
    before = all_bytes()
    with pytest.raises(EndpointError, match=r"no reply at all: 6 of 6 samples of big failed \(6 connection\)"):
        run("crop")
    assert all_bytes() == before


@pytest.mark.parametrize("gone", ["evaluate", "evaluate judge"])
def test_evaluation_and_its_judge_need_replies(folder: Path, server: Server, gone: str) -> None:
    seen = picture(100)
    items = [
        make_row(
            BENCHMARK, item_id=f"i{number}", image_id=f"m{number}", cluster_id=f"q{number}", source="made",
            image=seen, crop=seen, boxed=seen, box=[8, 8, 24, 24], question="what digit is on the square?",
            options=["1", "2", "3", "4"], answer="3", label="C", dimension="ocr",
        )
        for number in range(3)
    ]  # fmt: skip
    write_table(paths.BENCHMARK, items, BENCHMARK)
    server.answer = lambda body: choices("it is hard to say")
    write_params(lambda use: endpoint(NOWHERE if use == gone else server.url))
    stage: Any = importlib.import_module("stages.evaluate")
    with pytest.raises(EndpointError, match=r"no reply at all: (\d+) of \1 samples of big failed"):
        stage.main("base", Path("params.yaml"))
    assert not paths.PREDICTIONS.exists() or not list(paths.PREDICTIONS.glob("*/*.parquet"))
