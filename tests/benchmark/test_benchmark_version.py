"""One's own benchmark: columns that nothing reads are named, and a version pins the files that DVC doesn't watch."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from benchmark.made_files import photo, put_jsonl
from typer.testing import CliRunner

from r2i.benchmark.sources import open_items
from r2i.benchmark.version import list_source
from r2i.cli.main import app
from r2i.core import paths
from r2i.core.errors import R2IError, TableError
from r2i.core.params import Benchmark, BenchmarkSource, Drawing
from r2i.importing.hash_cache import HashCache
from stages.benchmark import main

ROOT = Path(__file__).parents[2]
ROWS = [
    {"image": f"shelf/{n}.jpg", "question": "What colour?", "answer": text, "bbox": [9, 9, 30, 30], "id": n}
    for n, text in enumerate(("red", "blue", "green"))
]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of questions beside a folder of its pictures, and something else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop" / "shelf").mkdir(parents=True)
    for n in range(4):
        (tmp_path / "shop" / "shelf" / f"{n}.jpg").write_bytes(photo(n))
    return put_jsonl(tmp_path / "shop" / "asked.jsonl", ROWS)


def version_of(path: Path, **more: object) -> str:
    source = BenchmarkSource.model_validate({"kind": "table", "path": str(path)} | more)
    with HashCache(paths.pool_hashes()) as cache:
        return list_source(source, cache).version


def test_columns_that_nothing_reads_are_named_with_those_that_there_are(shop: Path) -> None:
    def told(columns: dict[str, str]) -> tuple[list[str], list[str]]:
        source = BenchmarkSource(kind="table", name="shop", path=str(shop), columns=columns)
        with open_items(Benchmark(sources=[source]), Drawing(), 0, shop.parent) as items:
            boxed = [row["box"] is not None for row in items.rows]
            assert boxed == [bool(columns)] * 3
            return items.sources["shop"]["unused_columns"], items.warnings

    unused, (warning,) = told({})
    assert unused == ["bbox", "id"]
    assert warning.startswith("shop: nothing reads bbox, id: a table has image, question, answer and may have crop, ")
    assert " box, " in warning and "`columns: {image: NAME}`" in warning
    assert told({"box": "bbox", "item_id": "id"}) == ([], [])


def test_a_column_that_is_missing_is_told_with_those_that_a_table_has(shop: Path) -> None:
    put_jsonl(shop, [{"photo": "shelf/0.jpg", "question": "What?", "answer": "red"}])
    source = BenchmarkSource(kind="table", path=str(shop))
    with pytest.raises(TableError) as caught, open_items(Benchmark(sources=[source]), Drawing(), 0, shop.parent):
        pass
    assert caught.value.cause.endswith("has no column image; it has photo, question, answer")
    assert "a table has image, question, answer and may have" in caught.value.remedy


def test_a_version_is_of_the_file_and_the_pictures_that_it_names_or_of_all_files_of_a_folder(shop: Path) -> None:
    first, whole = version_of(shop), version_of(shop.parent)
    assert (first.partition("-")[0], whole.partition("-")[0]) == ("4", "5")
    copy = Path("copy")
    shutil.copytree(shop.parent, copy)
    assert (version_of(copy / "asked.jsonl"), version_of(copy)) == (first, whole)
    (shop.parent / "shelf" / "3.jpg").write_bytes(photo(9))  # no question is about it
    assert version_of(shop) == first and version_of(shop.parent) != whole
    (shop.parent / "shelf" / "2.jpg").write_bytes(photo(9))
    second = version_of(shop)
    assert second != first
    put_jsonl(shop, [ROWS[0] | {"answer": "pink"}, *ROWS[1:]])
    assert version_of(shop) not in (first, second)


def test_boxes_that_lie_beside_the_pictures_are_part_of_the_version(shop: Path) -> None:
    asked = [{"image": "shelf/0.jpg", "text": "What?\n(A) red\n(B) blue", "label": "A"}]
    put_jsonl(shop, asked)
    beside = shop.parent / "shelf" / "0.json"
    found = []
    for left in (9, 10):
        beside.write_text(json.dumps({"bbox": [[left, 9, 20, 20]]}), encoding="utf-8")
        found.append(version_of(shop, kind="vstar"))
    assert found[0] != found[1]


def set_params(shop: Path) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    source = {"kind": "table", "name": "shop", "path": str(shop), "columns": {"box": "bbox"}}
    values["profiles"]["smoke"]["benchmark"]["sources"] = [{"kind": "rendered", "items": 6}, source]
    Path("params.yaml").write_text(yaml.safe_dump(values | {"profile": "smoke"}, sort_keys=False), encoding="utf-8")


def test_the_stage_says_what_is_not_pinned_and_stops_where_a_pinned_file_was_edited(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_params(shop)

    def version(*more: str) -> str:
        done = CliRunner().invoke(app, ["benchmark", "version", *more])
        assert done.exit_code == 0, done.output
        return done.stdout

    def noted() -> tuple[str, bool]:
        found = json.loads(paths.metrics("benchmark").read_text())["sources"]["shop"]
        return found["version"], found["pinned"]

    first = version_of(shop)
    main(Path("params.yaml"))
    assert "benchmark shop is not pinned" in (said := capsys.readouterr().err)
    assert "`r2i benchmark version shop --write`" in said and "nothing reads id" in said
    assert noted() == (first, False)
    assert version() == f"shop: {first} (not pinned)\n"
    assert version("shop", "--write") == f"shop: {first} (not pinned; written)\n"
    main(Path("params.yaml"))
    assert noted() == (first, True) and "not pinned" not in capsys.readouterr().err
    put_jsonl(shop, [ROWS[0] | {"answer": "pink"}, *ROWS[1:]])
    with pytest.raises(R2IError) as caught:
        main(Path("params.yaml"))
    assert caught.value.cause == "benchmark 'shop' has changed since it was pinned: 0 added, 0 removed, 1 changed"
    assert version("--write") == f"shop: {version_of(shop)} (pinned: 0 added, 0 removed, 1 changed; written)\n"
    main(Path("params.yaml"))
    assert noted() == (version_of(shop), True)
    shown = CliRunner().invoke(app, ["benchmark", "inspect"])
    assert "shop: nothing reads the columns id" in shown.stdout, shown.output
