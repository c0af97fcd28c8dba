"""A folder is read as one dataset or not at all, and a file without a rest."""

import csv
import io
import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmark.made_files import put_json, put_jsonl, put_tsv
from datasets import Dataset, DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st

from r2i.core.errors import TableError
from r2i.importing import records
from r2i.importing.records import read_list, read_records

NEEDED = (("question",), ("answer",))
ROWS = [{"question": f"{n}?", "answer": str(n)} for n in range(3)]
HEAD = "question\tred\tblue\tanswer\n"


def questions(path: Path) -> list[str]:
    return [record.get("question") for record in read_records(path, NEEDED)]


@pytest.mark.parametrize(
    "names",
    [
        ("train.jsonl", "validation.jsonl", "test.jsonl"),
        ("data/train-00000-of-00002.jsonl", "data/train-00001-of-00002.jsonl", "data/test-00000-of-00001.jsonl"),
        ("train/a.jsonl", "val/a.jsonl"),
        ("bench_dev.jsonl", "bench_test.jsonl"),
        ("train.jsonl", "more.jsonl"),
    ],
)
def test_a_folder_of_several_splits_asks_for_one(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        put_jsonl(tmp_path / name, ROWS)
    with pytest.raises(TableError, match=r"holds the splits .*name a file"):
        questions(tmp_path)
    assert questions(tmp_path / names[0]) == ["0?", "1?", "2?"]


@pytest.mark.parametrize("names", [("test_2d.jsonl", "test_3d.jsonl"), ("a.jsonl", "latest.jsonl"), ("val/x.jsonl",)])
def test_files_of_one_split_are_one_dataset(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        put_jsonl(tmp_path / name, ROWS)
    assert len(questions(tmp_path)) == 3 * len(names)


@pytest.mark.parametrize("deep", [False, True])
def test_saved_splits_are_not_mixed(tmp_path: Path, deep: bool) -> None:
    folder = tmp_path / "deep" if deep else tmp_path
    data = Dataset.from_list(ROWS)
    DatasetDict({"train": data, "test": data}).save_to_disk(str(folder))
    with pytest.raises(TableError, match=r"holds the (splits test, train|saved datasets deep/test, deep/train)"):
        questions(tmp_path)
    assert len(questions(folder / "test")) == 3


@pytest.mark.parametrize(
    "stray",
    [".ipynb_checkpoints/a-checkpoint.jsonl", "._a.jsonl", "__MACOSX/a.jsonl", ".cache/huggingface/a.jsonl",
     "deep/.git/a.jsonl"],
)  # fmt: skip
def test_copies_that_other_programs_left_are_no_data(tmp_path: Path, stray: str) -> None:
    put_jsonl(tmp_path / "a.jsonl", ROWS)
    put_jsonl(tmp_path / stray, [{"question": "0?", "answer": "altered"}])
    assert questions(tmp_path) == ["0?", "1?", "2?"]


def test_caches_of_a_saved_dataset_are_no_data_and_files_that_are_only_called_so_are(tmp_path: Path) -> None:
    data = Dataset.from_list(ROWS)
    data.save_to_disk(str(tmp_path / "saved"))
    for name in ("cache-0123.arrow", "tmp9x.arrow", "more.arrow"):
        data.map(lambda row: {"answer": "altered"}, cache_file_name=str(tmp_path / "saved" / name))
    for path in (tmp_path / "saved", tmp_path):
        assert [record.get("answer") for record in read_records(path, NEEDED)] == ["0", "1", "2"]
    put_jsonl(tmp_path / "lines" / "cache-questions.jsonl", ROWS)
    put_json(tmp_path / "lines" / "dataset_infos.json", {"default": {}})
    assert len(questions(tmp_path / "lines")) == 3


def test_data_beside_a_saved_dataset_is_not_left_out_in_silence(tmp_path: Path) -> None:
    Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "other").mkdir()
    data = (tmp_path / "saved" / "data-00000-of-00001.arrow").read_bytes()
    (tmp_path / "other" / "b.arrow").write_bytes(data)
    with pytest.raises(TableError, match="holds the saved datasets other, saved"):
        questions(tmp_path)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('a?\t1\t2\tA\n"EXIT is on what?\t1\t2\tA\nc?\t1\t2\tB\nd?\t1\t2\tB\n', 3),  # never closed
        ('a?\t1\t2\tA\nb?\t"1\t2\tA\nc?\t1"\t2\tB\n', 3),  # two lost quotes that fit together
        ('"EXIT" is on what?\t1\t2\tA\n', 2),  # text after a closed quote
        ('a?\t1\t2\t"A\nb?\t1\t2\tB"\n', 2),
    ],
)
def test_a_lost_quote_names_its_line_and_loses_no_row_in_silence(tmp_path: Path, text: str, line: int) -> None:
    (tmp_path / "d.tsv").write_text(HEAD + text)
    with pytest.raises(TableError, match=rf"d.tsv, line {line}: .*needs one at its end"):
        questions(tmp_path / "d.tsv")


def test_quotes_that_are_written_as_they_should_be_are_read(tmp_path: Path) -> None:
    rows = [{"question": 'Is it "EXIT"?\nOr\tnot, say', "red": "1", "blue": '"', "answer": "A"}] * 2
    assert [dict(record.values) for record in read_records(put_tsv(tmp_path / "d.tsv", rows), NEEDED)] == rows
    (tmp_path / "d.csv").write_text('question,red,answer\n"Look, at\nthis, and, that",1,A\nb?,"2\n3",B\n')
    assert questions(tmp_path / "d.csv") == ["Look, at\nthis, and, that", "b?"]


@pytest.mark.parametrize("row", ["b?\t1\t2", "b?\t1\t2\tA\tmore", "b?"])
def test_a_row_of_more_or_fewer_fields_is_torn_and_its_neighbours_are_kept(tmp_path: Path, row: str) -> None:
    (tmp_path / "d.tsv").write_text(f"{HEAD}a?\t1\t2\tA\n{row}\n\nc?\t1\t2\tB\n")
    found = list(read_records(tmp_path / "d.tsv", NEEDED))
    assert [(record.number, record.fault) for record in found] == [(0, ""), (1, "torn_record"), (2, "")]


def test_two_columns_of_one_name_are_refused_by_name(tmp_path: Path) -> None:
    twice = pa.table([pa.array(["a?"]), pa.array(["A"]), pa.array(["B"])], names=["question", "answer", "answer"])
    pq.write_table(twice, tmp_path / "d.parquet")
    (tmp_path / "d.tsv").write_text("question\tanswer\tanswer\na?\tA\tB\n")
    (tmp_path / "d.json").write_text('[{"question": "a?", "answer": "A", "answer": "B"}]')
    for name, said in (
        ("parquet", "two columns answer"),
        ("tsv", "two columns answer"),
        ("json", "two values of 'ans"),
    ):
        with pytest.raises(TableError, match=said):
            questions(tmp_path / f"d.{name}")
    (tmp_path / "d.jsonl").write_text('{"question": "a?", "answer": "A", "answer": "B"}\n' + json.dumps(ROWS[0]))
    assert [record.fault for record in read_records(tmp_path / "d.jsonl", NEEDED)] == ["torn_record", ""]
    other = pa.table(
        [pa.array(["a?"]), pa.array(["A"]), pa.array([1]), pa.array([2])], names=["question", "answer", "x", "x"]
    )
    pq.write_table(other, tmp_path / "e.parquet")
    assert len(list(read_records(tmp_path / "e.parquet", NEEDED, wanted=("question", "answer")))) == 1


def test_a_json_object_of_several_lists_is_read_where_one_alone_has_the_columns(tmp_path: Path) -> None:
    put_json(tmp_path / "a.json", {"categories": [{"id": 1}], "data": ROWS})
    assert len(questions(tmp_path / "a.json")) == 3
    put_json(tmp_path / "b.json", {"train": ROWS, "test": ROWS})
    with pytest.raises(TableError, match="holds the lists train, test"):
        questions(tmp_path / "b.json")


@pytest.mark.parametrize("text", ['[{"question": 1%s}]' % ("0" * 5000), '[{"question": "a"}] rest', '{"a": [}'])
def test_a_json_file_that_python_can_not_read_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(TableError, match=r"a.json can't be read as JSON"):
        questions(tmp_path / "a.json")


def test_the_text_of_a_numpy_array_is_no_list() -> None:
    """Python reads it as one long word."""
    assert read_list("['red' 'blue']") == read_list("['red'\n 'blue']") == []
    assert read_list("['red', 'blue']") == ["red", "blue"] and read_list("['it''s']") == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"_indices_data_files": [{"filename": "indices.arrow"}]}, "a selection of its rows"),
        ({"_data_files": [{"filename": "../other/data.arrow"}]}, "names ../other/data.arrow, which lies elsewhere"),
        ({"_data_files": [{"filename": "/etc/passwd"}]}, "which lies elsewhere"),
        ({"_data_files": [{"filename": "gone.arrow"}]}, "gone.arrow can't be read"),
        ({"_data_files": 5}, "is not what `datasets` writes"),
    ],
)
def test_a_saved_dataset_is_what_its_state_says_or_nothing(tmp_path: Path, changes: dict, said: str) -> None:
    Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "saved"))
    state = json.loads((tmp_path / "saved" / "state.json").read_text())
    (tmp_path / "saved" / "state.json").write_text(json.dumps(state | changes))
    with pytest.raises(TableError, match=said):
        questions(tmp_path / "saved")


def test_a_folder_without_all_of_its_shards_says_so(tmp_path: Path) -> None:
    for number in (0, 2):
        put_jsonl(tmp_path / f"train-{number:05d}-of-00003.jsonl", ROWS)
    with pytest.raises(TableError, match=r"holds 2 of the 3 files train-\.\.\.-of-00003"):
        questions(tmp_path)
    assert len(questions(tmp_path / "train-00000-of-00003.jsonl")) == 3
    put_jsonl(tmp_path / "train-00001-of-00003.jsonl", ROWS)
    assert len(questions(tmp_path)) == 9


def test_an_arrow_file_cut_between_two_batches_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    with pa.ipc.new_stream(str(tmp_path / "whole.arrow"), table.schema) as stream:
        for start in range(3):
            stream.write_table(table.slice(start, 1))
    data = (tmp_path / "whole.arrow").read_bytes()
    assert len(questions(tmp_path / "whole.arrow")) == 3
    for length in range(0, len(data), 8):
        (tmp_path / "cut.arrow").write_bytes(data[:length])
        with pytest.raises(TableError, match=r"cut.arrow (can't be read as ARROW|has no column)"):
            questions(tmp_path / "cut.arrow")


TEXTS = st.text(st.sampled_from('ab,;\t\n\r"\'|\\ü"½\ufeff '), max_size=12)
TABLES = st.lists(st.fixed_dictionaries({"question": TEXTS, "note": TEXTS, "answer": TEXTS}), min_size=1, max_size=4)


@settings(deadline=None)
@given(rows=TABLES, delimiter=st.sampled_from(["\t", ","]), always=st.booleans())
def test_what_is_written_as_a_table_is_read_back_or_refused_never_altered(
    rows: list[dict[str, str]], delimiter: str, always: bool
) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(
        text, list(rows[0]), delimiter=delimiter, quoting=csv.QUOTE_ALL if always else csv.QUOTE_MINIMAL
    )
    writer.writeheader()
    writer.writerows(rows)
    with TemporaryDirectory() as folder:
        file = Path(folder) / ("d.tsv" if delimiter == "\t" else "d.csv")
        file.write_bytes(text.getvalue().encode())
        try:
            read = [dict(record.values) for record in read_records(file, NEEDED)]
        except TableError as error:
            assert "a quote goes on over further rows" in str(error)
            assert any(delimiter in value and "\n" in value for row in rows for value in row.values())
        else:
            assert read == rows


@settings(deadline=None)
@given(rows=TABLES, place=st.integers(0, 200))
def test_a_stray_quote_is_refused_or_loses_no_row(rows: list[dict[str, str]], place: int) -> None:
    plain = [{name: re.sub(r"[\s\",\\]", "x", value) + "z" for name, value in row.items()} for row in rows]
    body = "".join("\t".join(row.values()) + "\n" for row in plain)
    at = place % len(body)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "d.tsv"
        file.write_text("question\tnote\tanswer\n" + body[:at] + '"' + body[at:])
        try:
            read = list(read_records(file, NEEDED))
        except TableError as error:
            assert "line " in str(error)
        else:
            assert len(read) == len(rows)


def test_a_line_without_an_end_is_read_in_parts_that_are_torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_LONGEST_FIELD", 64)
    (tmp_path / "d.jsonl").write_bytes(json.dumps(ROWS[0]).encode() + b"\n" + b"x" * 200)
    assert [record.fault for record in read_records(tmp_path / "d.jsonl", NEEDED)] == ["", *["torn_record"] * 4]
