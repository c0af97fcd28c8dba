"""What `r2i benchmark inspect` says: hand-made tables with known answers."""

import json
from pathlib import Path
from typing import Any

import pytest
from benchmark.made_files import photo
from scipy.stats import chisquare
from typer.testing import CliRunner

from r2i.benchmark.inspect import describe_items, find_duplicates, letter_bias, spread
from r2i.cli.main import app
from r2i.core import paths, records
from r2i.core.tables import Row, write_table

ROOT = Path(__file__).parents[2]


def row(item_id: str, image: int = 1, **changes: Any) -> Row:
    return dict.fromkeys(records.BENCHMARK.names) | {
        "item_id": item_id, "image_id": f"image-{image}", "cluster_id": f"image-{image}", "image": photo(image),
        "box": [0, 0, 48, 32], "question": f"Question {item_id}?", "options": ["1", "2", "3", "4"], "answer": "2",
        "label": "B", "dimension": "ocr", "source": "made", "crop_made": True, "phash": "0" * 16, "status": "ok",
        "reason": "",
    } | changes  # fmt: skip


def test_counts_sizes_regions_and_crops() -> None:
    rows = [row("a"), row("b", box=[0, 0, 24, 32], crop_made=False), row("c", 2, box=None, crop_made=None)]
    rows.append(row("d", status="failed", reason="unreadable", image=None))
    found = describe_items(rows)
    assert (found["status"], found["reason"]) == ({"ok": 3, "failed": 1}, {"failed: unreadable": 1})
    assert (found["images"], found["with_box"], found["crops"]) == (2, 2, {"published": 1, "made": 1})
    assert (found["width"]["median"], found["height"]["median"]) == (96, 64)
    # 48 x 32 of 96 x 64 is a quarter, 24 x 32 an eighth
    assert (found["area_share"]["min"], found["area_share"]["median"], found["area_share"]["max"]) == (
        1 / 8,
        3 / 16,
        1 / 4,
    )


def test_letter_bias_is_pearsons_chi_square() -> None:
    labels = "A" * 10 + "B" * 30 + "C" * 12 + "D" * 8
    found = letter_bias([row(str(n), label=label) for n, label in enumerate(labels)])
    expected = chisquare([10, 30, 12, 8])
    assert found["chi2"] == pytest.approx(expected.statistic)
    assert found["p"] == pytest.approx(expected.pvalue)
    assert (found["degrees"], found["always"]) == (3, 0.5)
    assert found["counts"] == {"A": 10, "B": 30, "C": 12, "D": 8}


def test_questions_with_other_numbers_of_options_are_tested_apart() -> None:
    two = [row(str(n), label="AB"[n % 2], options=["yes", "no"]) for n in range(20)]
    four = [row(f"x{n}", label="ABCD"[n % 4]) for n in range(20)]
    found = letter_bias(two + four)
    assert (found["chi2"], found["degrees"], found["p"]) == (0, 4, 1)  # together A and B come more often than C and D
    assert letter_bias([row("a", options=[], label="")])["p"] is None


def test_duplicates_are_told_from_cycled_options() -> None:
    rows = [
        row("a", question="How many?"),
        row("b", question="how many"),  # the same question
        row("c", question="How many?", options=["2", "1", "3", "4"]),  # in another order
        row("d", question="What color?"),  # the same image
        row("e", image=2, question="How many?"),
    ]
    assert find_duplicates(rows) == {"same_image": 3, "same_question": 2, "cycled_options": 1}


def test_a_spread_of_one_number_and_of_none() -> None:
    assert spread([3]) == dict.fromkeys(("min", "q1", "median", "q3", "max"), 3)
    assert spread([]) is None


def test_answers_are_counted_as_they_are_compared() -> None:
    found = describe_items([row("a", answer="two"), row("b", answer="2"), row("c", answer="red")])
    assert found["answers"] == {"different": 2, "common": {"2": 2, "red": 1}}


def test_the_command_prints_tables_or_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    write_table(paths.BENCHMARK, [row("a"), row("b", 2, dimension="color")], records.BENCHMARK)
    shown = CliRunner().invoke(app, ["benchmark", "inspect"])
    assert shown.exit_code == 0
    assert all(text in shown.output for text in ("2 items", "color", "median 25.00%", "no training images here"))
    found = json.loads(CliRunner().invoke(app, ["benchmark", "inspect", "--json"]).output)
    assert (found["dimension"], found["contamination"]) == ({"color": 1, "ocr": 1}, None)


def test_the_command_compares_with_the_training_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    write_table(paths.BENCHMARK, [row("a"), row("b", 2)], records.BENCHMARK)
    image = dict.fromkeys(records.IMAGES.names) | {"image_id": "image-2", "status": "ok", "phash": "f" * 16}
    write_table(paths.IMAGES, [image | {"width": 96, "height": 64, "image": photo(2)}], records.IMAGES)
    train = dict.fromkeys(records.TRAIN.names) | {"row_id": "r", "image_id": "image-2", "status": "ok"}
    write_table(paths.TRAIN, [train], records.TRAIN)
    shown = CliRunner().invoke(app, ["benchmark", "inspect"], env={"COLUMNS": "160"})
    assert "1 items (50.0%): 1 same bytes" in shown.output


def test_a_missing_table_is_an_error_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["benchmark", "inspect"])
    assert result.exit_code == 1
    assert "dvc repro benchmark" in result.output
