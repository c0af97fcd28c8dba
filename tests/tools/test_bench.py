"""`r2i bench`: one model, one benchmark, a folder of its own."""

import json
from pathlib import Path

import pytest
from benchmark.made_files import photo, put_json, put_jsonl, put_parquet, put_photo, struct
from typer.testing import CliRunner

from r2i.benchmark.importers import guess_kind
from r2i.cli.bench import check_bench, lost_lines
from r2i.cli.main import app
from r2i.core.errors import R2IError, TableError
from r2i.core.metrics import write_metrics
from r2i.tools.bench import Bench, bench_folder, params_of, short_name, write_bench

ROOT = Path(__file__).parents[2]
OWN = {"image": "1.jpg", "question": "What color is the lid?", "options": ["red", "blue"], "answer": "red"}


def own(folder: Path, count: int = 2, **more: object) -> Path:
    put_photo(folder / "1.jpg", 1)
    return put_jsonl(folder / "q.jsonl", [OWN | {"question": f"What color is lid {n}?"} | more for n in range(count)])


def test_a_benchmark_is_known_by_its_columns(tmp_path: Path) -> None:
    zoom = {"image": struct(photo(1)), "query": "How many?", "response": "4", "crop_image": None}
    assert guess_kind(put_parquet(tmp_path / "zoom" / "test.parquet", [zoom])) == "zoombench"
    assert guess_kind(own(tmp_path / "own").parent) == "table"
    assert guess_kind(put_json(tmp_path / "r.json", [{"images": ["1.jpg"], "query": "a", "response": "b"}])) == (
        "reference"
    )
    assert guess_kind(put_photo(tmp_path / "v" / "direct_attributes" / "1.jpg", 1).parents[1]) == "vstar"
    (tmp_path / "empty").mkdir()
    with pytest.raises(TableError):
        guess_kind(tmp_path / "empty")


def test_params_say_what_was_asked_for(tmp_path: Path) -> None:
    table = own(tmp_path)
    server = Bench("Qwen/Q-4B", table, "http://127.0.0.1:1/v1", "KEY", items=5, parts=True)
    served = write_bench(server, tmp_path / "a", guess_kind, check_bench)
    evaluate = served.chosen.evaluate
    assert (
        evaluate.views == ["full", "crop", "boxed", "told", "recut", "removed", "blind"] and evaluate.attention is None
    )
    assert evaluate.endpoints["Q-4B"].base_url and evaluate.endpoints["Q-4B"].api_key_env == "KEY"
    assert served.chosen.benchmark.sources[0].items == 5 and dict(served.model_names.titles) == {"Q-4B": "Qwen/Q-4B"}
    in_process = Bench(str(ROOT / "models/mini"), table, parts=True)
    local = write_bench(in_process, tmp_path / "b", guess_kind, check_bench)
    assert (local.chosen.evaluate.prompts, evaluate.prompts) == ("mini", "paper")
    assert (
        local.chosen.benchmark.sources[0].version
        and local.chosen.evaluate.views == evaluate.views
        and local.chosen.evaluate.attention is not None
    )
    assert local.models["mini"].from_ == str(ROOT / "models/mini") and bench_folder(Bench("a/b:c/", table)) == Path(
        "data/bench/b-c"
    )
    assert bench_folder(Bench("a/b", table, protocol="protocols/zwz.yaml", judge="o/j")) == Path("data/bench/b-zwz-j")
    assert short_name("gap") == "model-gap"  # metrics have a key of this name


@pytest.mark.parametrize(
    ("address", "own", "sent"),
    [
        (None, None, "KEY"),
        ("https://a:1/other", None, "KEY"),
        ("https://b/v1", None, None),
        ("http://a:1/v1", None, None),
        ("https://b/v1", "OTHER", "OTHER"),
    ],
)
def test_a_key_goes_to_the_host_that_it_is_of(address: str | None, own: str | None, sent: str | None) -> None:
    asked = Bench(
        "m", Path("table"), "https://a:1/v1", "KEY", judge="j", judge_endpoint=address, judge_key_env=own, kind="table"
    )
    params = params_of(asked, guess_kind)["profiles"]["bench"]["evaluate"]
    assert params["judge"]["endpoint"].get("api_key_env") == sent
    assert params["endpoints"]["m"]["api_key_env"] == "KEY"


def test_what_can_t_be_is_said_before_anything_runs(tmp_path: Path) -> None:
    table = own(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("")
    (foreign := tmp_path / "foreign.yaml").write_text("name: foreign\n")
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "params.yaml").write_text("seed: 1\nprofile: mini\n")
    for asked, folder, said in [
        (Bench("m/m", tmp_path / "none"), tmp_path / "x", "no benchmark"),
        (Bench("m/m", table), tmp_path / "full", "something else"),
        (Bench("m/m", table), tmp_path / "repository", "something else"),
        (Bench("m/m", table), table, "is a file"),
        (Bench("m/m", table, judge="j"), tmp_path / "x", "judge"),
        (Bench("nothing", table), tmp_path / "x", "neither a folder here nor a hub id"),
        (Bench("m", table, endpoint="127.0.0.1:8000"), tmp_path / "x", "no address of a server"),
        (Bench("m/m", table, kind="zoom"), tmp_path / "x", "--kind zoom"),
        (Bench("m/m", table, box_unit="pixel"), tmp_path / "x", "--box-unit pixel"),
        (Bench("m/m", table, columns=("image:photo",)), tmp_path / "x", "--column image:photo"),
        (Bench("m/m", table, columns=("photo=image",)), tmp_path / "x", "no column photo"),
        (Bench("m/m", table, protocol="none"), tmp_path / "x", "no protocol none"),
        (Bench("m/m", table, protocol=str(foreign), max_tokens=9), tmp_path / "x", "part of protocol"),
        (Bench("./weights", table), tmp_path / "x", "no folder"),
        (Bench("m/m", table, kind="vstar", box_unit="thousandths"), tmp_path / "x", "takes no box_unit"),
    ]:
        with pytest.raises(R2IError, match=said):
            write_bench(asked, folder, guess_kind, check_bench)


def test_without_a_crop_there_is_no_gap_to_pay_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = own(tmp_path / "q", 2)
    asked = ["bench", "m", "--endpoint", "http://127.0.0.1:9/v1", "--benchmark", str(table), "--column", "label=letter"]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 1 and "no record of" in result.output and "'letter'" in result.output
    result = CliRunner().invoke(app, asked[:-2])
    assert result.exit_code == 1 and "none of 2 items has a crop" in result.output, result.output
    assert not (tmp_path / "data/bench/m/metrics/evaluate-m.json").exists()


def test_what_was_lost_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def told(calls: dict[str, int]) -> list[str]:
        write_metrics(Path("metrics/benchmark.json"), {"reason": {"failed: no_image": 2, "rejected: duplicate": 9}})
        write_metrics(Path("metrics/evaluate-m.json"), {"reason": {f"failed: {why}": n for why, n in calls.items()}})
        return lost_lines(Path(), "m")

    records, calls = told({"timeout": 3, "judge_timeout": 1})
    assert records.startswith("11 records are no items (no_image 2, duplicate 9)")
    assert calls.startswith("4 calls failed") and "asks again" in calls
    assert "max_calls is spent" in told({"judge_over_budget": 14})[-1]
    assert len(told({})) == 1


@pytest.mark.long
def test_the_gap_of_a_model_in_process_with_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = own(tmp_path / "q", 4, box=[10, 8, 40, 28])
    asked = [str(ROOT / "models/mini"), "--benchmark", str(table), "--prompts", "mini", "--max-tokens", "8", "--parts"]
    for _ in range(2):
        result = CliRunner().invoke(app, ["bench", *asked])
        assert result.exit_code == 0, result.output
    folder = tmp_path / "data/bench/mini"
    scores = json.loads((folder / "metrics/evaluate.json").read_text())
    assert scores["gaps"]["mini"]["n"] == 4 and scores["guessing"]["mini"]["blind"]["full"]["n"] == 4
    assert scores["coverage"]["n"] == 4 and (folder / "data/report/report.html").is_file()
    assert "zooming gap" in result.output and "What can be guessed" in result.output
    (tmp_path / "no").mkdir()
    wrong = CliRunner().invoke(app, ["bench", str(tmp_path / "no"), "--benchmark", str(table), "--out", "x"])
    assert wrong.exit_code == 1 and "evaluate failed" in wrong.output
