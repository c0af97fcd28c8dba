"""The view that OpenRLHF reads, the student's folder, and the settings of the executor."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from transformers import AutoProcessor

from r2i.core.errors import R2IError, TableError
from r2i.core.images import jpeg_bytes
from r2i.core.params import Dapo, Endpoint, Judge
from r2i.core.records import TRAIN
from r2i.core.tables import Row, write_table
from r2i.train.openrlhf.student import base_folder, prepare_student, restore_processor
from r2i.train.openrlhf.view import lines_of, read_reference, write_view
from r2i.train.openrlhf.workspace import SETTINGS_VARIABLE, Files, read_settings, write_settings
from r2i.train.rows import in_training_order
from r2i.train.tokens import conversation, token_counter

MINI = Path(__file__).parents[2] / "models" / "mini"
SIZES = [(128, 128), (300, 200), (97, 411), (640, 64), (33, 32)]


def dapo(**params: Any) -> Dapo:
    known = {"lr": 1e-6, "rollout_prompts": 4, "train_prompts": 2, "max_prompt": 500, "max_response": 32}
    return Dapo.model_validate(known | params)


def train_row(number: int, **values: Any) -> Row:
    image = jpeg_bytes(Image.new("RGB", SIZES[number % len(SIZES)], (number * 20 % 256, 90, 30)))
    row = {field.name: None for field in TRAIN} | {
        "row_id": f"row{number:02}", "question_id": "q", "region_id": "r", "image_id": f"image{number}",
        "view": "boxed", "image": image, "question": "what color is the dot?", "options": ["red", "blue"],
        "answer": "red", "label": "A", "prompt": f"what color is the dot {number} ?", "status": "ok", "reason": "",
    }  # fmt: skip
    return row | values


@pytest.fixture(scope="module")
def processor() -> Any:
    return AutoProcessor.from_pretrained(MINI)


def write(tmp_path: Path, rows: list[Row], shards: int = 3) -> Path:
    write_table(tmp_path / "train", rows, TRAIN, shards)
    return tmp_path / "train"


def without_images(rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name != "image"} for row in rows]


def read(path: Path) -> list[Row]:
    return pq.read_table(path).to_pylist()


def test_every_line_finds_its_own_image_in_a_table_of_several_shards(tmp_path: Path, processor: Any) -> None:
    rows = [train_row(i) for i in range(12)]
    table = write(tmp_path, rows)
    view = tmp_path / "view.parquet"
    facts = write_view(table, without_images(rows), dapo(), 0, token_counter(processor), view)
    lines = read(view)
    images = {row["row_id"]: row["image"] for row in rows}
    assert facts.prompts == len(lines) == 12
    assert len({line["images"][0].split("#")[0] for line in lines}) == 3
    for line in lines:
        label = json.loads(line["label"])
        assert read_reference(line["images"][0]) == images[label["row_id"]]
        assert (label["label"], label["options"], label["answer"]) == ("A", ["red", "blue"], "red")
        assert line["prompt"] == conversation(f"what color is the dot {int(label['row_id'][3:])} ?")


def test_a_view_is_small_and_the_same_bytes_for_the_same_rows(tmp_path: Path, processor: Any) -> None:
    rows = [train_row(i) for i in range(8)]
    table = write(tmp_path, rows)
    count = token_counter(processor)
    write_view(table, rows, dapo(epochs=3), 0, count, tmp_path / "a.parquet")
    write_view(table, rows[::-1], dapo(epochs=3), 0, count, tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert not any(b"\xff\xd8\xff" in str(line).encode() for line in read(tmp_path / "a.parquet"))


def test_tokens_are_counted_as_the_processor_makes_them(processor: Any) -> None:
    count = token_counter(processor)
    for width, height in [*SIZES, (1200, 900), (16, 1600)]:
        text = processor.apply_chat_template(conversation("what is it ?"), tokenize=False, add_generation_prompt=True)
        made = processor(text=[text], images=[Image.new("RGB", (width, height))], add_special_tokens=False)
        assert count("what is it ?", width, height) == len(made["input_ids"][0])


def test_rows_that_openrlhf_would_stop_at_are_left_out_and_counted(tmp_path: Path, processor: Any) -> None:
    narrow = jpeg_bytes(Image.new("RGB", (1000, 4)))
    rows = [
        *(train_row(i) for i in range(4)),
        train_row(4, prompt="dot " * 600),
        train_row(5, image=b"no picture"),
        train_row(6, image=narrow),  # over 200 : 1, which the processor refuses
        train_row(7, prompt="a mark <|image_pad|> in the text"),
    ]
    facts = write_view(write(tmp_path, rows), rows, dapo(), 0, token_counter(processor), tmp_path / "view.parquet")
    assert (facts.prompts, facts.too_long, facts.unfit) == (4, 1, 3)
    with pytest.raises(TableError, match="1 over 500 tokens, 3 unfit"):
        write_view(tmp_path / "train", rows[4:], dapo(), 0, token_counter(processor), tmp_path / "none.parquet")


def test_epochs_are_repetitions_each_in_an_order_of_its_own(tmp_path: Path, processor: Any) -> None:
    rows = [train_row(i) for i in range(12)]
    view = tmp_path / "view.parquet"
    facts = write_view(write(tmp_path, rows), rows, dapo(epochs=2), 7, token_counter(processor), view)
    ids = [json.loads(line["label"])["row_id"] for line in read(view)]
    assert ids[:12] == [row["row_id"] for row in in_training_order(rows, 7)]  # as the other engine begins
    assert sorted(ids[12:]) == sorted(ids[:12]) and ids[12:] != ids[:12]
    assert (facts.repeated, facts.dropped) == (12, 0)
    assert len({line["label"] for line in read(view)}) == 24


@pytest.mark.parametrize(
    ("params", "lines", "dropped"),
    [
        ({"dynamic_sampling": False, "epochs": 3}, 28, 2),  # 10 rows x 3 = 30: 7 batches of 4, 2 left over
        ({"dynamic_sampling": True, "epochs": 3}, 30, 0),  # a batch takes what it needs
        ({"max_steps": 3}, 8, 0),  # 2 steps from a batch: 3 steps need 2 batches
        ({"max_steps": 12}, 24, 0),  # steps count, not epochs: rows are repeated
    ],
)
def test_only_whole_batches_are_trained_on(params: dict[str, Any], lines: int, dropped: int) -> None:
    assert lines_of(10, dapo(**params)) == (lines, dropped)


def test_fewer_rows_than_a_batch_give_no_line_that_is_shown_twice_for_nothing(tmp_path: Path, processor: Any) -> None:
    rows = [train_row(i) for i in range(5)]
    view = tmp_path / "view.parquet"
    facts = write_view(write(tmp_path, rows), rows, dapo(max_steps=4), 0, token_counter(processor), view)
    assert (facts.prompts, facts.repeated, len(read(view))) == (8, 3, 8)


def test_rows_that_the_table_lacks_and_references_into_nothing_are_named(tmp_path: Path, processor: Any) -> None:
    table = write(tmp_path, [train_row(0)])
    with pytest.raises(TableError, match="lacks 1 of 2"):
        write_view(table, [train_row(0), train_row(1)], dapo(), 0, token_counter(processor), tmp_path / "v.parquet")
    part = next(path for path in table.iterdir() if pq.read_metadata(path).num_rows)
    for broken in (f"{part}#0#9", f"{part}#4#0", f"{tmp_path}/gone.parquet#0#0", "nothing"):
        with pytest.raises(TableError, match="no image at"):
            read_reference(broken)


def test_the_student_sees_images_of_its_own_limits_and_the_base_keeps_its_files(tmp_path: Path) -> None:
    before = {file.name: file.read_bytes() for file in MINI.iterdir()}
    params = dapo(min_pixels=4096, max_pixels=65536)
    for _ in range(2):  # made anew over what is there
        student = prepare_student(str(MINI), params, tmp_path / "student")
    limited = AutoProcessor.from_pretrained(student)
    image = Image.new("RGB", (512, 512))
    text = "<|vision_start|><|image_pad|><|vision_end|>"
    grid = limited(text=[text], images=[image], return_tensors="pt")["image_grid_thw"]
    assert grid.tolist() == [[1, 16, 16]]  # 65536 pixels: 256 x 256, 16 pixels a patch
    assert {file.name: file.read_bytes() for file in MINI.iterdir()} == before
    assert {file.name for file in student.iterdir()} == before.keys()
    assert (student / "model.safetensors").samefile(MINI / "model.safetensors")


def test_limits_in_the_form_of_older_processors_are_replaced_too(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    old = {"image_processor_type": "Qwen2VLImageProcessor", "min_pixels": 3136, "max_pixels": 12845056}
    (base / "preprocessor_config.json").write_text(json.dumps(old))
    student = prepare_student(str(base), dapo(max_pixels=65536), tmp_path / "student")
    written = json.loads((student / "preprocessor_config.json").read_text())
    assert written["size"] == {"shortest_edge": 3136, "longest_edge": 65536}
    assert not written.keys() & {"min_pixels", "max_pixels"}
    with pytest.raises(R2IError, match="at least 999999"):
        prepare_student(str(student), dapo(min_pixels=999_999), tmp_path / "s")


def test_without_limits_the_student_is_the_base(tmp_path: Path) -> None:
    student = prepare_student(str(MINI), dapo(), tmp_path / "student")
    assert (student / "processor_config.json").read_bytes() == (MINI / "processor_config.json").read_bytes()


def test_a_base_that_is_not_there_or_sees_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(R2IError, match="there is no model at"):
        base_folder(str(tmp_path / "gone"))
    with pytest.raises(R2IError, match="there is no model at models/gone"):
        monkeypatch.chdir(MINI.parents[1])
        base_folder("models/gone")
    with pytest.raises(R2IError, match="not in the Hugging Face cache"):
        base_folder("nobody-at-all/no-such-model")  # HF_HUB_OFFLINE: see conftest
    (tmp_path / "text").mkdir()
    with pytest.raises(R2IError, match="no image processor"):
        prepare_student(str(tmp_path / "text"), dapo(), tmp_path / "student")


def test_the_result_gets_the_bases_processor_back(tmp_path: Path) -> None:
    result = tmp_path / "result"
    result.mkdir()
    (result / "model.safetensors").write_bytes(b"trained")
    (result / "preprocessor_config.json").write_text('{"size": {"longest_edge": 65536}}')  # the base has none of these
    (result / "tokenizer_config.json").write_text('{"padding_side": "left"}')
    restore_processor(str(MINI), result)
    for name in ("processor_config.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        assert (result / name).read_bytes() == (MINI / name).read_bytes()
    assert not (result / "preprocessor_config.json").exists()
    assert (result / "model.safetensors").read_bytes() == b"trained"


def test_settings_come_back_as_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files.under(tmp_path)
    judge = Judge(endpoint=Endpoint(kind="openai", base_url="http://127.0.0.1:1/v1"), max_calls=9)
    params = dapo(judge=judge, overlong_buffer=8)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    write_settings(files, params, engines=3, seed=5)
    monkeypatch.setenv(SETTINGS_VARIABLE, str(files.agent_settings))
    settings = read_settings()
    assert (settings.dapo, settings.engines, settings.seed) == (params, 3, 5)
    assert settings.workspace == tmp_path.resolve()
    monkeypatch.setenv(SETTINGS_VARIABLE, str(tmp_path / "gone.json"))
    with pytest.raises(R2IError, match=SETTINGS_VARIABLE):
        read_settings()


@pytest.mark.parametrize("kind", ["vllm", "local"])
def test_a_judge_that_every_engine_would_load_is_refused(tmp_path: Path, kind: str) -> None:
    judge = Judge(endpoint=Endpoint.model_validate({"kind": kind}), max_calls=9)
    with pytest.raises(R2IError, match=f"can't be of kind {kind}"):
        write_settings(Files.under(tmp_path), dapo(judge=judge), engines=1, seed=0)
    assert not list(tmp_path.iterdir())
