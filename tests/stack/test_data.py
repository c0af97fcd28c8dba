"""OpenRLHF's own dataset, loader and tokenisation read our view, and give what TRL's path gives for the same row."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("openrlhf", reason="needs the GPU extra: `make test-stack`")

import torch
from made_run import write_params
from openrlhf.datasets import PromptDataset
from openrlhf.datasets.utils import blending_datasets
from openrlhf.utils.utils import get_tokenizer
from openrlhf.utils.vlm_utils import load_images, process_prompt_with_images
from PIL import Image
from trl.data_utils import prepare_multimodal_messages

from r2i.core import paths
from r2i.core.images import jpeg_bytes
from r2i.core.params import Dapo
from r2i.core.records import TRAIN
from r2i.core.tables import Row, write_table
from r2i.tools.exchange.export import export_table
from r2i.tools.exchange.hf import export_dataset
from r2i.train.openrlhf.prompt import Prompt, load_picture, prepare, training_inputs
from r2i.train.openrlhf.view import read_reference, write_view
from r2i.train.rows import rl_dataset
from r2i.train.tokens import token_counter

MINI = Path(__file__).parents[2] / "models" / "mini"
DAPO = Dapo(lr=1e-6, rollout_prompts=4, train_prompts=4, max_prompt=400, max_response=32)
DATA_FLAGS = {"input_key": "prompt", "label_key": "label", "apply_chat_template": True, "image_key": "images"}


def strategy(**data: Any) -> Any:
    """As much of DeepspeedStrategy as reading data takes."""
    args = SimpleNamespace(data=SimpleNamespace(**DATA_FLAGS | data), use_ms=False)
    return SimpleNamespace(args=args, print=lambda *_: None, is_rank_0=lambda: True)


def train_row(number: int) -> Row:
    noise = torch.randint(0, 255, (90 + 40 * number, 128, 3), dtype=torch.uint8).numpy()
    return {field.name: None for field in TRAIN} | {
        "row_id": f"row{number}", "question_id": "q", "region_id": "r", "image_id": f"image{number}", "view": "boxed",
        "image": jpeg_bytes(Image.fromarray(noise)), "question": "what color is the dot?", "options": ["red", "blue"],
        "answer": "red", "label": "A", "status": "ok", "reason": "",
        "prompt": f"what color is the dot on the red square?\nA. red\nB. blue {number}\nchoose",
    }  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    torch.manual_seed(0)
    return [train_row(i) for i in range(4)]


@pytest.fixture(scope="module")
def table(rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "train"
    write_table(folder, rows, TRAIN, shards=2)
    return folder


@pytest.fixture(scope="module")
def processor() -> Any:
    """As OpenRLHF loads it."""
    return get_tokenizer(str(MINI), None, "left", strategy(), use_fast=True)


@pytest.fixture(scope="module")
def dataset(table: Path, rows: list[Row], processor: Any, tmp_path_factory: pytest.TempPathFactory) -> PromptDataset:
    view = tmp_path_factory.mktemp("view") / "prompts.parquet"
    write_view(table, rows, DAPO, 0, token_counter(processor), view)
    return PromptDataset(blending_datasets(str(view), None, strategy()), processor, strategy())


def of_trl(row: Row, processor: Any) -> Any:
    """What GRPOTrainer makes of a row of our dataset: the conversation with its images, through the template."""
    example = rl_dataset([row])[0]
    messages = prepare_multimodal_messages(example["prompt"], images=example["images"])
    text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    return processor(text=[text], images=example["images"], add_special_tokens=False, return_tensors="pt")


def test_openrlhf_reads_every_row_of_the_view(dataset: PromptDataset, rows: list[Row]) -> None:
    assert len(dataset) == 4
    sources, prompts, labels, images = dataset.collate_fn([dataset[i] for i in range(4)])
    assert set(sources) == {"r2i"}
    assert {json.loads(label)["row_id"] for label in labels} == {row["row_id"] for row in rows}
    assert all(prompt.count("<|image_pad|>") == 1 for prompt in prompts)
    assert all(len(references) == 1 and len(references[0]) < 300 for references in images)  # no picture travels


def test_tokens_and_pixels_are_those_of_trls_path(dataset: PromptDataset, rows: list[Row], processor: Any) -> None:
    by_id = {row["row_id"]: row for row in rows}
    for i in range(4):
        _, prompt, label, images = dataset[i]
        row = by_id[json.loads(label)["row_id"]]
        ids, inputs, _ = process_prompt_with_images(processor, prompt, [read_reference(images[0])])
        expected = of_trl(row, processor)
        assert ids == expected["input_ids"][0].tolist()
        assert torch.equal(inputs["pixel_values"], expected["pixel_values"])
        assert torch.equal(inputs["image_grid_thw"], expected["image_grid_thw"])
        assert inputs.keys() == {"pixel_values", "image_grid_thw"}


def test_what_a_group_shares_is_what_openrlhf_would_have_made(dataset: PromptDataset, processor: Any) -> None:
    """The patches in bfloat16: the cast that the vision tower of a bfloat16 student would do."""
    for i in range(4):
        _, prompt, label, images = dataset[i]
        asked = Prompt(prompt, label, images, None, 432, processor)
        prepared = prepare(asked, load_picture(images))
        ids, inputs, _ = process_prompt_with_images(processor, prompt, [read_reference(images[0])])
        again, shared, pictures = process_prompt_with_images(prepared, prompt, [prepared.picture])
        assert prepared.tokens == ids == again
        assert pictures == [prepared.picture]
        assert shared.keys() == inputs.keys() == training_inputs(prepared).keys()
        assert torch.equal(shared["pixel_values"], inputs["pixel_values"].to(torch.bfloat16))
        assert torch.equal(shared["image_grid_thw"], inputs["image_grid_thw"])


def test_the_view_counts_tokens_as_openrlhf_does(dataset: PromptDataset, rows: list[Row], processor: Any) -> None:
    count = token_counter(processor)
    by_id = {row["row_id"]: row for row in rows}
    for i in range(4):
        _, prompt, label, images = dataset[i]
        row = by_id[json.loads(label)["row_id"]]
        ids, _, _ = process_prompt_with_images(processor, prompt, [read_reference(images[0])])
        assert count(row["prompt"], *load_picture(images).size) == len(ids)


def test_the_train_table_goes_in_as_it_is(table: Path, rows: list[Row], processor: Any) -> None:
    """`--data.image_key image --data.input_key prompt`: a binary column, the prompt a text without an image's mark."""
    part = max(table.iterdir(), key=lambda path: path.stat().st_size)
    flags = {"image_key": "image"}
    dataset = PromptDataset(blending_datasets(str(part), None, strategy(**flags)), processor, strategy(**flags))
    by_prompt = {row["prompt"]: row for row in rows}
    assert len(dataset) > 0
    for i in range(len(dataset)):
        _, prompt, label, image = dataset[i]
        row = next(row for text, row in by_prompt.items() if text.split("\n")[2] in prompt)
        assert label == row["label"]
        (picture,) = load_images(image)
        assert picture.size == load_images(row["image"])[0].size
        assert picture.tobytes() == load_images(row["image"])[0].tobytes()


@pytest.fixture(scope="module", params=["rows export", "export hf"])
def exported(request: pytest.FixtureRequest, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes of the table: a folder of Parquet, as a user would name it."""
    folder = tmp_path_factory.mktemp("exported")
    if request.param == "rows export":
        export_table(table, folder / "rows", "reference")
        return folder / "rows"
    write_params(folder)
    shutil.copytree(table, folder / paths.TRAIN)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        export_dataset(Path("hf"), "train")
    return folder / "hf"


def test_what_is_exported_goes_in_too(exported: Path, rows: list[Row], processor: Any) -> None:
    """`--data.input_key problem --data.label_key answer --data.image_key images`: tokens and pixels as of our view."""
    keys = {"input_key": "problem", "label_key": "answer", "image_key": "images"}
    dataset = PromptDataset(blending_datasets(str(exported), None, strategy(**keys)), processor, strategy(**keys))
    by_prompt = {row["prompt"]: row for row in rows}
    assert len(dataset) == len(rows)
    for i in range(len(dataset)):
        _, prompt, label, images = dataset[i]
        row = next(row for text, row in by_prompt.items() if text in prompt)
        assert label == row["label"] and prompt.count("<|image_pad|>") == 1 and "<image>" not in prompt
        ids, inputs, _ = process_prompt_with_images(processor, prompt, images)
        expected = of_trl(row, processor)
        assert ids == expected["input_ids"][0].tolist()
        assert torch.equal(inputs["pixel_values"], expected["pixel_values"])
