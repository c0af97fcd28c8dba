"""The benchmark: balanced, unambiguous, unseen, and in one common table whatever its source."""

import json
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from r2i.benchmark.rendered import BENCHMARK_SCENES, pick_distractors, render_items
from r2i.benchmark.sources import open_items
from r2i.benchmark.views import summarise
from r2i.core import paths, records
from r2i.core.drawing import cut_crop, frame_box
from r2i.core.errors import ParamsError, TableError
from r2i.core.ids import make_id
from r2i.core.images import jpeg_bytes, read_image, sha256
from r2i.core.params import Benchmark, BenchmarkSource, Cut, Drawing, Outline, Pool
from r2i.core.tables import Row, read_table, write_table
from r2i.importing.questions import find_label
from r2i.mini.language import ask
from r2i.mini.world import ANSWERS, DIMENSIONS, SIZE, Scene, Thing, render_scene
from r2i.sample.pools import TRAIN_SCENES, list_offers
from stages.benchmark import main

ROOT = Path(__file__).parents[2]
RENDERED = BenchmarkSource(kind="rendered", items=120)
CFG = Benchmark(sources=[RENDERED])
DRAWING = Drawing(cut=Cut(margin=0.08, square=True), outline=Outline(line=1))


@pytest.fixture(scope="module")
def items() -> list[Row]:
    return render_items(120, DRAWING, seed=0)


@pytest.fixture(scope="module")
def scenes() -> dict[str, Scene]:
    """Scenes of the benchmark by image_id."""
    drawn = [render_scene(np.random.default_rng([0, BENCHMARK_SCENES, n])) for n in range(90)]
    return {sha256(jpeg_bytes(scene.image)): scene for scene in drawn}


def target(row: Row, scenes: dict[str, Scene]) -> Thing:
    """The one object that the question of `row` names."""
    (thing,) = [t for t in scenes[row["image_id"]].things if ask(t, row["dimension"]) == row["question"]]
    return thing


# Rendered scenes


def test_every_dimension_has_as_many_items(items: list[Row]) -> None:
    assert Counter(row["dimension"] for row in items) == dict.fromkeys(DIMENSIONS, 20)


def test_items_that_six_does_not_divide_differ_by_one() -> None:
    counts = Counter(row["dimension"] for row in render_items(16, DRAWING, 0))
    assert sorted(counts.values()) == [2, 2, 3, 3, 3, 3]


def test_gold_answers_are_the_truth_of_the_one_object_that_is_named(items: list[Row], scenes: dict[str, Scene]) -> None:
    for row in items:
        thing = target(row, scenes)  # fails where a name occurs twice
        assert row["answer"] == thing.truth(row["dimension"])
        assert row["options"]["ABCD".index(row["label"])] == row["answer"]


def test_options_are_four_different_answers_of_one_kind(items: list[Row]) -> None:
    for row in items:
        assert len(set(row["options"])) == 4
        assert set(row["options"]) <= set(ANSWERS[row["dimension"]])


def test_a_scene_has_at_most_two_items_of_different_dimensions(items: list[Row]) -> None:
    assert max(Counter(row["image_id"] for row in items).values()) <= 2
    assert len({(row["image_id"], row["dimension"]) for row in items}) == len(items)


def test_the_gold_letter_gives_nothing_away() -> None:
    # 360 items, 90 expected for each letter, standard deviation sqrt(360 * 1/4 * 3/4) = 8.2
    labels = Counter(row["label"] for row in render_items(360, DRAWING, 0))
    assert all(60 < labels[letter] < 120 for letter in "ABCD")


def test_distractors_come_from_the_scene_first_for_half_of_the_items() -> None:
    def digit(value: str, x: int) -> Thing:
        return Thing("red", "square", "wood", "ocr", value, x, 16, 10)

    scene = Scene(Image.new("RGB", (SIZE, SIZE)), (digit("1", 16), digit("2", 48), digit("3", 80)))
    picks = [set(pick_distractors(scene, scene.things[0], "ocr", f"item-{n}")) for n in range(400)]
    # with the scene first both "2" and "3" are options; by chance with probability 7 / C(9, 3) = 1/12
    both = sum({"2", "3"} <= pick for pick in picks)
    assert 180 < both < 255  # expected 400 * (1/2 + 1/2 * 1/12) = 217
    assert all("1" not in pick and len(pick) == 3 for pick in picks)


def test_the_box_is_the_one_that_crop_would_cut_and_the_views_show_it(
    items: list[Row], scenes: dict[str, Scene]
) -> None:
    for row in items[:12]:
        box = frame_box(target(row, scenes).box, DRAWING.cut, SIZE, SIZE)
        assert tuple(row["box"]) == box
        expected = np.asarray(cut_crop(read_image(row["image"]), box, DRAWING.cut), dtype=int)
        assert np.abs(np.asarray(read_image(row["crop"]), dtype=int) - expected).mean() < 3
        differs = np.abs(np.asarray(read_image(row["boxed"]), int) - np.asarray(read_image(row["image"]), int))
        assert differs.max() > 80  # the outline
        assert differs[: max(0, box[1] - 8)].sum() < differs.sum() * 0.05  # and nothing far from the box


def test_the_same_seed_gives_the_same_items_and_another_gives_others(items: list[Row]) -> None:
    assert render_items(120, DRAWING, seed=0) == items
    assert not {row["image_id"] for row in items} & {row["image_id"] for row in render_items(120, DRAWING, seed=1)}


def test_benchmark_scenes_are_no_training_scenes(items: list[Row]) -> None:
    assert TRAIN_SCENES != BENCHMARK_SCENES
    trained = {offer.image_id for offer in list_offers(Pool(kind="rendered", name="scenes", scenes=100), seed=0)}
    assert not trained & {row["image_id"] for row in items}


def test_the_summary_counts_what_a_reader_needs(items: list[Row]) -> None:
    summary = summarise(items)
    assert summary["chance"] == 0.25
    assert summary["with_box"] == 120
    assert 0.02 < summary["median_area_share"] < 0.1


def test_open_questions_are_the_same_without_options_and_small_things_are_smaller() -> None:
    usual, words = (render_items(12, DRAWING, 0, options=options) for options in (True, False))
    assert words == [row | {"options": [], "label": ""} for row in usual]
    small = render_items(60, DRAWING, 0, small=True)
    widths = [
        [box[2] - box[0] for box in (row["box"] for row in rows)] for rows in (small, render_items(60, DRAWING, 0))
    ]
    assert float(np.mean(widths[0])) < 0.9 * float(np.mean(widths[1]))
    source = {"kind": "zoombench", "path": "there", "things": "small"}
    with pytest.raises(ValueError, match="things"):
        BenchmarkSource.model_validate(source)


# Tables


def picture() -> bytes:
    return jpeg_bytes(render_scene(np.random.default_rng(5)).image)


def png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def read_items(tmp_path: Path, path: Path, line: int = 5, **source: Any) -> list[Row]:
    """The rows of one table, with their views read."""
    cfg = Benchmark(sources=[BenchmarkSource(kind="table", path=str(path), **source)])
    with open_items(cfg, Drawing(outline=Outline(line=line)), 0, tmp_path / "scratch") as found:
        return [{name: v() if callable(v) else v for name, v in row.items()} for row in found.rows]


def read_back(tmp_path: Path, rows: list[dict[str, Any]], **changes: Any) -> list[Row]:
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "mybench.parquet")
    return read_items(tmp_path, tmp_path / "mybench.parquet", **changes)


def row_of(**changes: Any) -> dict[str, Any]:
    return {
        "image": picture(), "question": "What digit?", "answer": "seven", "options": ["1", "7", "3"],
        "box": [10, 10, 40, 30], "dimension": "ocr",
    } | changes  # fmt: skip


def test_missing_columns_are_filled_and_views_are_made_from_the_box(tmp_path: Path) -> None:
    (row,) = read_back(tmp_path, [row_of()], line=1)
    assert row["status"] == "ok"
    assert row["label"] == "B"  # "seven" is 7
    assert (row["image_id"], row["source"]) == (sha256(picture()), "table")
    assert read_image(row["crop"]).size == (60, 40)  # 30 x 20 px, upscaled twice, without margin
    assert row["boxed"] != row["image"]
    assert (row["crop_made"], row["answer"]) == (True, "7")  # the gold option's own text


def test_views_that_the_benchmark_brings_are_kept(tmp_path: Path) -> None:
    own = jpeg_bytes(Image.new("RGB", (33, 22), "blue"))
    (row,) = read_back(tmp_path, [row_of(crop=own)])
    assert (row["crop"], row["crop_made"]) == (own, False)


def test_without_a_box_only_the_full_view_exists(tmp_path: Path) -> None:
    (row,) = read_back(tmp_path, [row_of(box=None)])
    assert (row["status"], row["crop"], row["boxed"], row["crop_made"]) == ("ok", None, None, None)


def test_images_are_stored_as_jpeg_whatever_they_were(tmp_path: Path) -> None:
    (row,) = read_back(tmp_path, [row_of(image={"bytes": png(Image.new("RGBA", (50, 50))), "path": None})])
    assert Image.open(BytesIO(row["image"])).format == "JPEG"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"image": b"torn"}, "unreadable"),
        ({"image": None}, "no_image"),
        ({"crop": b"torn"}, "unreadable"),
        ({"box": [200, 200, 300, 300]}, "bad_box"),  # beside the 128 px image
        ({"box": [40, 10, 10, 30]}, "bad_box"),  # inside out
        ({"options": ["1", "2"]}, "no_gold_option"),
        ({"answer": ""}, "no_question_or_answer"),
    ],
)
def test_a_row_that_cannot_be_used_is_failed_beside_its_neighbours(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    good = row_of(question="Another?", crop=None)
    rows = read_back(tmp_path, [row_of(crop=None) | change, good])
    assert [(row["status"], row["reason"]) for row in rows] == [("failed", reason), ("ok", "")]


def test_the_same_question_on_the_same_image_counts_once(tmp_path: Path) -> None:
    rows = read_back(tmp_path, [row_of(), row_of(), row_of()])
    assert [row["reason"] for row in rows] == ["", "duplicate", "duplicate"]
    assert len({row["item_id"] for row in rows}) == 3


@pytest.mark.parametrize(
    ("options", "answer", "label"),
    [
        (["red", "blue"], "Blue.", "B"),
        (["red", "blue"], "A", "A"),
        (["red", "blue"], "(b)", "B"),
        (["red", "blue"], "C", ""),  # no third option
        (["5", "five"], "5", ""),  # two options say it: none is the gold one
        (["B", "A"], "A", ""),  # its letter, or the text of another: nobody can say
        ([], "red", ""),
    ],
)
def test_the_gold_letter_is_found_only_where_it_is_certain(options: list[str], answer: str, label: str) -> None:
    assert find_label(options, answer) == label


def test_a_table_that_is_missing_torn_or_of_another_form_is_an_error(tmp_path: Path) -> None:
    bench = tmp_path / "bench"
    with pytest.raises(TableError, match=r"no file or folder .*bench"):
        read_items(tmp_path, bench)
    bench.mkdir()
    with pytest.raises(TableError, match=r"no PARQUET, .* in .*bench"):
        read_items(tmp_path, bench)
    (bench / "a.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(TableError, match="can't be read as PARQUET"):
        read_items(tmp_path, bench)
    pq.write_table(pa.table({"question": ["?"], "answer": ["x"]}), bench / "a.parquet")
    with pytest.raises(TableError, match="no column image"):
        read_items(tmp_path, bench)
    pq.write_table(pa.table({"question": [], "answer": [], "image": []}), bench / "a.parquet")
    with pytest.raises(TableError, match="no rows"):
        read_items(tmp_path, bench)


def test_the_common_table_reads_back_as_itself(items: list[Row], tmp_path: Path) -> None:
    write_table(tmp_path / "items", items, records.BENCHMARK)
    again = read_items(tmp_path, tmp_path / "items")
    assert sorted(again, key=lambda row: row["item_id"]) == sorted(items, key=lambda row: row["item_id"])


def test_columns_of_another_name_are_mapped(tmp_path: Path) -> None:
    theirs = {
        "photo": picture(), "q": "<image>\nWhat digit?", "a": "(c)",
        "o1": "1", "o2": "7", "o3": "3", "where": [0.25, 0.25, 0.5, 0.5],
    }  # fmt: skip
    names = {"image": "photo", "question": "q", "answer": "a", "options": "o1,o2,o3", "box": "where"}
    pq.write_table(pa.Table.from_pylist([theirs]), tmp_path / "x.parquet")
    (row,) = read_items(
        tmp_path, tmp_path / "x.parquet", columns=names, box_unit="shares", box_form="xywh", name="mine"
    )
    assert (row["question"], row["options"], row["label"]) == ("What digit?", ["1", "7", "3"], "C")
    assert row["box"] == (32, 32, 96, 96)  # a quarter in, half wide, of 128 px
    assert row["source"] == "mine"
    with pytest.raises(ParamsError, match="no column picture"):
        read_items(tmp_path, tmp_path / "x.parquet", columns={"picture": "photo"})


def test_at_most_so_many_are_chosen_and_the_choice_does_not_depend_on_the_order(tmp_path: Path) -> None:
    rows = [row_of(question=f"Question {n}?") for n in range(20)]
    few = read_back(tmp_path, rows, items=5)
    assert len(few) == 5
    backwards = read_back(tmp_path, rows[::-1], items=5)
    assert {row["item_id"] for row in few} == {row["item_id"] for row in backwards}
    lowest = sorted((row["item_id"] for row in read_back(tmp_path, rows)), key=lambda item: make_id("chosen", item))
    assert {row["item_id"] for row in few} == set(lowest[:5])
    more = read_back(tmp_path, rows, items=8)  # a larger choice holds the smaller one
    assert {row["item_id"] for row in few} < {row["item_id"] for row in more}


# Several sources


def test_two_sources_may_hold_the_same_item(items: list[Row], tmp_path: Path) -> None:
    write_table(tmp_path / "own", items[:4], records.BENCHMARK)
    pq.write_table(pa.Table.from_pylist([row_of()]), tmp_path / "a.parquet")
    tables = [("own", "own"), ("first", "a.parquet"), ("second", "a.parquet")]
    sources = [BenchmarkSource(kind="table", path=str(tmp_path / path), name=name) for name, path in tables]
    cfg = CFG.model_copy(update={"sources": [RENDERED, *sources]})
    with open_items(cfg, DRAWING, 0, tmp_path / "scratch") as found:
        write_table(tmp_path / "all", found.rows, records.BENCHMARK)  # raises where two ids are the same
        assert {row["item_id"] for row in items} < {row["item_id"] for row in found.rows}
        assert [found.sources[name]["rows"] for name in ("rendered", "own", "first", "second")] == [120, 4, 1, 1]
    assert len(read_table(tmp_path / "all", records.BENCHMARK, "benchmark")) == 126


def test_two_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    cfg = CFG.model_copy(update={"sources": [RENDERED, RENDERED]})
    with (
        pytest.raises(ParamsError, match="two benchmark sources have the name rendered"),
        open_items(cfg, DRAWING, 0, tmp_path),
    ):
        pass


# The stage


def test_the_stage_writes_items_and_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text().replace("profile: mini", "profile: smoke"))
    main(Path("params.yaml"))
    assert len(read_table(paths.BENCHMARK, records.BENCHMARK, "benchmark")) == 36
    metrics = json.loads(paths.metrics("benchmark").read_text())
    assert (metrics["chance"], metrics["crops_made"], metrics["clusters"]) == (0.25, 36, metrics["images"])
    assert metrics["sources"]["rendered"]["rows"] == 36
    assert {path.name for path in paths.BENCHMARK.parent.iterdir()} == {"items"}  # no scratch is left
    whole = read_table(paths.BENCHMARK, records.BENCHMARK, "benchmark")
    monkeypatch.setattr("stages.benchmark.SHARD_IMAGES", 4)
    main(Path("params.yaml"))
    assert len(list(paths.BENCHMARK.iterdir())) > 2
    assert read_table(paths.BENCHMARK, records.BENCHMARK, "benchmark") == whole
    assert json.loads(paths.metrics("benchmark").read_text()) == metrics
