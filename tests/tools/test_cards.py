"""Cards say what the files say, and what goes out with them opens where it is meant to be opened."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from made_run import make_run, write_params
from PIL import Image
from typer.testing import CliRunner

from r2i.cli.main import app
from r2i.core import paths
from r2i.core.catalogue import TRAIN
from r2i.core.errors import R2IError, TableError
from r2i.core.fingerprint import chosen_params
from r2i.core.metrics import write_metrics
from r2i.core.params import load_params
from r2i.core.records import IMAGES
from r2i.core.records import TRAIN as SCHEMA
from r2i.core.tables import Row, read_table, write_table
from r2i.tools.cards.data import data_card
from r2i.tools.cards.facts import hub_licence, size_category
from r2i.tools.cards.model import model_card
from r2i.tools.exchange.hf import export_dataset, export_model
from r2i.tools.exchange.importing import import_table

MODEL = Path("models/distilled")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run of 4 scenes, its images in the pool of params, a model and the lock that names them."""
    root = tmp_path / "run"
    root.mkdir()
    monkeypatch.chdir(root)
    write_params(root)
    make_run(4)
    images = sorted({row["image_id"] for row in read_table(paths.TRAIN, SCHEMA, "overlay")})
    empty = dict.fromkeys(IMAGES.names)
    write_table(
        paths.IMAGES,
        [empty | {"image_id": name, "pool": "scenes", "status": "ok", "reason": ""} for name in images],
        IMAGES,
    )
    MODEL.mkdir(parents=True)
    (MODEL / "config.json").write_text("{}")
    (MODEL / "model.safetensors").write_bytes(b"weights")
    _write_lock()
    return root


def _write_lock() -> None:
    dapo = load_params().chosen.train.dapo
    written = ("rollout_prompts", "train_prompts", "max_prompt", "max_response")
    params = {
        "seed": 0,
        "train.base": "models/mini",
        "train.engine": "trl",
        "train.dapo": {"lr": 0.0007, **{name: getattr(dapo, name) for name in written}},
    }
    stage = {
        "cmd": "python stages/train.py --run dapo",
        "deps": [{"path": "data/overlay/train", "hash": "md5", "md5": "feed.dir", "size": 1, "nfiles": 1}],
        "params": {"data/code/params.yaml": params},
        "outs": [{"path": "models/distilled", "hash": "md5", "md5": "cafe.dir", "size": 9, "nfiles": 2}],
    }
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"train@dapo": stage}}))


def ok_rows() -> list[Row]:
    return [row for row in read_table(paths.TRAIN, SCHEMA, "overlay") if row["status"] == "ok"]


def front_of(card: str) -> dict[str, Any]:
    head = card.split("---\n")[1]
    return dict(yaml.safe_load(head))


def opened(folder: Path) -> Any:
    from datasets import load_dataset

    return load_dataset(str(folder), cache_dir=str(folder.parent / "cache"))


# the dataset


def test_the_export_opens_with_its_pictures_and_the_references_columns(made: Path) -> None:
    from datasets import Image as Picture
    from datasets import List

    done = CliRunner().invoke(app, ["export", "hf", "out/hf"])
    assert done.exit_code == 0, done.stderr
    rows = {row["row_id"]: row for row in ok_rows()}
    assert f"{len(rows):,} rows in out/hf" in done.stdout and "rejected: too_easy" in done.stdout
    found = opened(Path("out/hf"))
    assert list(found) == ["train"] and found["train"].num_rows == len(rows)
    assert found["train"].features["images"] == List(Picture())
    for sample in found["train"]:
        row = rows[sample["row_id"]]
        assert sample["images"][0].size == Image.open(io.BytesIO(row["image"])).size  # decoded
        assert sample["problem"] == "<image>" + row["prompt"] and sample["answer"] == row["label"]
        assert (sample["answer_text"], sample["options"]) == (row["answer"], row["options"])
        assert sample["bbox"] == row["box"] and sample["status"] == "valid vqa" and sample["pool"] == "scenes"
        same = ("question_id", "region_id", "image_id", "view", "dimension", "question", "agree", "right", "tries")
        assert all(sample[name] == row[name] for name in same)


def test_the_benchmark_opens_as_a_test_split_with_both_views(made: Path) -> None:
    done = export_dataset(Path("out/bench"), "benchmark")
    found = opened(Path("out/bench"))
    assert list(found) == ["test"] and found["test"].num_rows == done["rows"] > 0
    sample = found["test"][0]
    assert sample["images"][0].size == (128, 128) and sample["crop"].size[0] < 128
    assert sample["options"]["ABCD".index(sample["answer"])] == sample["answer_text"]
    card = Path("out/bench/README.md").read_text()
    assert "held-out questions" in card and "## Prompts" not in card


def test_the_same_table_gives_the_same_bytes_and_an_export_takes_an_earlier_ones_place(made: Path) -> None:
    export_dataset(Path("out/a"), "train")
    first = {path.name: path.read_bytes() for path in Path("out/a").rglob("*") if path.is_file()}
    export_dataset(Path("out/a"), "train")
    assert first == {path.name: path.read_bytes() for path in Path("out/a").rglob("*") if path.is_file()}
    assert first.keys() == {"README.md", "train-00000-of-00001.parquet"}


def test_a_folder_of_somebody_else_is_left_alone(made: Path) -> None:
    """A README and a folder `data` are in many repositories."""
    Path("mine/data").mkdir(parents=True)
    Path("mine/README.md").write_text("# mine\n")
    for export in (lambda: export_dataset(Path("mine"), "train"), lambda: export_model(Path("mine"), "distilled")):
        with pytest.raises(TableError, match="no earlier export"):
            export()
    assert Path("mine/README.md").read_text() == "# mine\n" and sorted(Path("mine").iterdir())[1].name == "data"
    with pytest.raises(TableError):
        export_dataset(Path("data"), "train")


def test_an_export_comes_back_as_the_rows_that_it_was(made: Path) -> None:
    export_dataset(Path("out/hf"), "train")
    import_table(Path("out/hf/data"), Path("out/back"), "mini", "pixels")
    kept = ("view", "image", "box", "question", "options", "answer", "label", "prompt", "dimension")
    back = [row for row in read_table(Path("out/back"), SCHEMA, "import") if row["status"] == "ok"]

    def facts(rows: list[Row]) -> list[str]:
        return sorted(repr([row[name] for name in kept]) for row in rows)

    assert facts(back) == facts(ok_rows())


def test_a_run_without_its_images_goes_out_without_pools(made: Path) -> None:
    shutil.rmtree("data/sample")
    export_dataset(Path("out/hf"), "train")
    assert set(pq.read_table("out/hf/data")["pool"].to_pylist()) == {None}


# the cards


def test_the_front_matter_is_what_the_hub_reads(made: Path) -> None:
    export_dataset(Path("out/hf"), "train")
    front = front_of(Path("out/hf/README.md").read_text())
    assert front["license"] == "apache-2.0" and front["size_categories"] == ["n<1K"]
    assert front["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}
    ]
    (split,) = front["dataset_info"]["splits"]
    assert split["num_examples"] == len(ok_rows())
    assert front["dataset_info"]["download_size"] == Path("out/hf/data/train-00000-of-00001.parquet").stat().st_size


def test_a_card_counts_what_the_tables_hold(made: Path) -> None:
    card, rows = data_card(), ok_rows()
    assert f"{len(rows)} training rows, {len({row['question_id'] for row in rows})} questions, 4 images" in card
    for dimension in {row["dimension"] for row in rows}:
        assert f"| {dimension} | {sum(row['dimension'] == dimension for row in rows)} |" in card
    easy = json.loads(Path("metrics/overlay.json").read_text())["reason"]["rejected: too_easy"]
    assert f"rejected: too_easy: {easy}" in card
    assert "| questions of training rows whose label is right | 99.4 % | 50 |" in card  # metrics/audit.json of made_run
    assert "2602.11858" in card and "`vote`: `min_agreement` 6" in card


def test_a_prompt_is_quoted_where_this_revision_has_it_and_named_where_it_has_not(made: Path) -> None:
    from r2i.core.images import sha256
    from r2i.core.prompts import load_prompt

    prompt = load_prompt("answer", "answer", "paper")
    call = {"model": "big", "endpoint": "openai", "sampling": "{}", "reply_key": "k/0"}
    rows = [row | {"try_calls": []} for row in read_table(paths.TRAIN, SCHEMA, "overlay")]
    rows[0]["distractor_calls"] = [call | {"prompt_sha256": sha256(b"gone")}]
    rows[1]["try_calls"] = [call | {"prompt_sha256": prompt.sha256}] * 2
    write_table(paths.TRAIN, rows, SCHEMA)
    card = data_card()
    assert prompt.text in card and card.count("| overlay | try | big | openai |") == 1
    assert f"| changed since `{sha256(b'gone')[:12]}` |" in card


def test_a_rendered_pool_is_under_this_repositorys_licence_and_a_pinned_one_names_its_version(made: Path) -> None:
    assert "| rendered | rendered by this repository, Apache-2.0 |" in data_card()
    values = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    sample = values["profiles"][values["profile"]]["sample"]
    sample["pools"].append({"kind": "folder", "name": "p", "path": "p", "licence": "MIT", "version": "3-ab"})
    Path("params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    assert "| p | folder | MIT | - | - |\n\n- The files of `p` are those of version `3-ab`" in data_card()


def test_licences_go_with_their_pools() -> None:
    assert hub_licence(["Apache-2.0", "Apache-2.0"]) == {"license": "apache-2.0"}
    assert hub_licence(["SA-1B Dataset Research License"]) == {
        "license": "other", "license_name": "sa-1b-dataset-research-license"
    }  # fmt: skip
    assert hub_licence(["MIT", "CC-BY-4.0"])["license_name"] == "cc-by-4-0-and-mit"
    assert [size_category(n) for n in (999, 1000, 99_999, 10**6)] == ["n<1K", "1K<n<10K", "10K<n<100K", "n>1M"]


def test_no_machines_path_stands_in_a_card(made: Path) -> None:
    export_dataset(Path("out/hf"), "train")
    assert str(made) not in Path("out/hf/README.md").read_text() + model_card("distilled")


def test_the_model_card_says_what_was_trained_on_and_measured(made: Path) -> None:
    views = {view: {m: {"accuracy": 0.5, "ci95": [0.4, 0.6], "n": 32} for m in ("base", "distilled")}
             for view in ("full", "crop")}  # fmt: skip
    gain = {"value": 0.25, "ci95": [0.1, 0.4], "p_mcnemar": 0.00001}
    gap = {"base": 0.36, "distilled": 0.06, "change": -0.3, "ci95": [-0.34, -0.26]}
    write_metrics(paths.metrics("evaluate"), {"views": views, "chance": 0.25, "full_gain": gain, "gap": gap})
    chosen = {"by": "best", "step": 50, "val_accuracy": 0.875}
    validation = {"rows": 40, "images": 32, "base": 0.5, "last": 0.85, "chosen": chosen}
    metrics = {"rows": 268, "too_long": 3, "warnings": ["entropy fell"], "validation": validation}
    write_metrics(paths.metrics("train-dapo"), metrics)
    card = model_card("distilled")
    for line in (
        "**Rows**: `data/overlay/train`, md5 feed.dir, 268 used, 3 too long", "- `lr` 0.0007", "- `clip_high` 0.3",
        "| full | 50.0 % (40.0 to 60.0) | 50.0 % (40.0 to 60.0) | 32 |",
        "+25.0 points (+10.0 to +40.0), McNemar p < 0.0001",
        "36.0 → 6.0 points, change -30.0 (-34.0 to -26.0)", "100 steps; means over the first and the last 10",
        "entropy fell",
        "**Chosen**: the best checkpoint, of step 50: 87.5 % of 40 held-out rows right (base 50.0 %, last 85.0 %)",
    ):  # fmt: skip
        assert line in card, line
    # made_run's accuracy is 0.5 + 0.003 n: mean of steps 1 to 10 and of 91 to 100
    assert "| accuracy | 0.516 | 0.786 |" in card
    results = front_of(card)["model-index"][0]["results"]
    assert [result["metrics"][0]["value"] for result in results] == [0.5, 0.5]


def test_no_accuracy_is_told_without_its_protocol(made: Path) -> None:
    scores: dict[str, Any] = {"views": {"full": {"distilled": {"accuracy": 0.5, "ci95": [0.4, 0.6], "n": 9}}}}
    write_metrics(paths.metrics("evaluate"), scores)
    assert "protocol" not in model_card("distilled")  # metrics of a time that named none
    scores |= {"protocol": {"name": "mine", "kind": "edited", "sha256": "0"}, "judge": "Kimi"}
    write_metrics(paths.metrics("evaluate"), scores)
    card = model_card("distilled")
    assert "; asked by protocol mine (edited); what rules can't read is judged by Kimi.\n" in card
    assert front_of(card)["model-index"][0]["results"][0]["dataset"]["args"] == {"protocol": "mine"}
    own = {"protocol": {"name": "r2i", "kind": "r2i", "sha256": None}, "judge": None}
    write_metrics(paths.metrics("evaluate"), scores | own)
    assert "; asked by protocol r2i; what rules can't read is unscored." in model_card("distilled")


@pytest.mark.parametrize(
    "scores",
    [
        {},
        {"views": {"full": {"base": None, "distilled": {"accuracy": 0.5, "ci95": None, "n": 9}}, "crop": None},
         "gap": {"base": 0.1, "distilled": None, "change": None, "ci95": None}, "full_gain": None, "chance": None,
         "pass_at_k": None},
    ],
)  # fmt: skip
def test_a_model_card_is_written_without_what_was_not_measured(made: Path, scores: dict[str, Any]) -> None:
    write_metrics(paths.metrics("evaluate"), scores)
    shutil.rmtree("data/train", ignore_errors=True)
    card = model_card("distilled")
    assert ("Not evaluated here" in card) == (not scores) and "None" not in card


def test_a_model_goes_out_with_its_card(made: Path) -> None:
    assert CliRunner().invoke(app, ["export", "model", "out/model"]).exit_code == 0
    assert (Path("out/model") / "model.safetensors").read_bytes() == b"weights"
    assert Path("out/model/README.md").read_text() == model_card("distilled")
    export_model(Path("out/model"), "distilled")  # takes the earlier one's place


def test_a_model_that_nobody_trained_here_is_an_error_that_names_those_that_were(made: Path) -> None:
    with pytest.raises(R2IError, match="trained here: distilled"):
        model_card("huge")
    with pytest.raises(R2IError, match="no model in models/huge"):
        export_model(Path("out/model"), "huge")


def test_a_card_goes_where_it_is_told(made: Path) -> None:
    done = CliRunner().invoke(app, ["card", "data", "--out", "out/card.md"])
    assert done.exit_code == 0 and Path("out/card.md").read_text() == data_card()
    assert "dataset_info" not in front_of(data_card())
    shutil.rmtree(TRAIN.folder)
    gone = CliRunner().invoke(app, ["card", "data"])
    assert gone.exit_code == 1 and "dvc repro overlay" in gone.stderr


# other profiles


def test_the_card_names_the_student_that_tried_and_no_base_where_nothing_is_trained(made: Path) -> None:
    assert "`models/mini` tried each question" in data_card() and "starts from `models/mini`" in data_card()
    values = yaml.safe_load(Path("params.yaml").read_text())
    smoke = values["profiles"]["smoke"]
    for name in ("train", "evaluate", "benchmark"):
        del smoke[name]
    smoke["overlay"]["student"] = {"kind": "openai", "model": "tiny", "base_url": "http://host/v1"}
    Path("params.yaml").write_text(yaml.safe_dump(values))
    card = data_card()
    assert "`tiny` tried each question" in card and "starts from" not in card


def test_rows_of_another_profile_have_no_card_and_no_export(made: Path) -> None:
    """The lock says that the images were sampled by mini, and that the rows came of them."""
    others = load_params().model_copy(update={"profile": "mini"})
    images, rows = ({"path": str(path), "md5": f"{path.parent.name}.dir"} for path in (paths.IMAGES, paths.TRAIN))
    sample = {"params": {"data/code/params.yaml": {"sample": chosen_params(others)["sample"]}}, "outs": [images]}
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    lock["stages"] |= {"sample": sample, "overlay": {"deps": [images], "outs": [rows]}}
    lock["stages"]["score"] = {"deps": [rows], "outs": [{"path": "metrics/evaluate.json", "md5": "0"}]}
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    for words in (["card", "data"], ["export", "hf", "out/hf"]):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 1 and "data/overlay/train is not of profile smoke" in done.stderr
    assert not Path("out/hf").exists()
    done = CliRunner().invoke(app, ["card", "model"])
    assert done.exit_code == 0 and "Not evaluated here" in done.stdout
    assert "models/distilled is not of profile smoke" in done.stderr and "profile `smoke`" not in done.stdout
