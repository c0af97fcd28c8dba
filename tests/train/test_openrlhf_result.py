"""What OpenRLHF leaves in a trained model and the base does not have is taken out of it."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from r2i.train.openrlhf.student import restore_config

EMBEDDING = torch.arange(6.0).reshape(3, 2)
TOLD = {"format": "pt"}


def model(folder: Path, config: dict, **weights: torch.Tensor) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file({name.replace("__", "."): weight for name, weight in weights.items()}, folder / "model.safetensors", TOLD)
    return folder


@pytest.mark.parametrize("tied", [True, False])
def test_a_tied_head_is_kept_once_and_generation_uses_its_cache(tmp_path: Path, tied: bool) -> None:
    config = {"tie_word_embeddings": tied, "text_config": {"use_cache": True}}
    base = model(tmp_path / "base", config, embed__weight=EMBEDDING)
    trained = {**config, "use_cache": False, "text_config": {"use_cache": False, "dtype": "bfloat16"}}
    result = model(tmp_path / "result", trained, embed__weight=EMBEDDING, lm_head__weight=EMBEDDING.clone())
    restore_config(str(base), result)
    made = json.loads((result / "config.json").read_text())
    assert made == {**config, "text_config": {"use_cache": True, "dtype": "bfloat16"}}
    weights = load_file(result / "model.safetensors")
    assert set(weights) == {"embed.weight"} | (set() if tied else {"lm_head.weight"})
    assert weights["embed.weight"].equal(EMBEDDING)
    with safe_open(result / "model.safetensors", framework="pt") as file:
        assert file.metadata() == TOLD  # without which transformers doesn't load it


def test_the_index_of_shards_follows(tmp_path: Path) -> None:
    base = model(tmp_path / "base", {"tie_word_embeddings": True}, embed__weight=EMBEDDING)
    result = model(tmp_path / "result", {"tie_word_embeddings": True}, lm_head__weight=EMBEDDING)
    save_file({"embed.weight": EMBEDDING, "lm_head.weight": EMBEDDING.clone()}, result / "model.safetensors", TOLD)
    index = {"metadata": {"total_size": 48}, "weight_map": dict.fromkeys(["embed.weight", "lm_head.weight"], "model")}
    (result / "model.safetensors.index.json").write_text(json.dumps(index))
    restore_config(str(base), result)
    made = json.loads((result / "model.safetensors.index.json").read_text())
    assert made == {"metadata": {"total_size": 24}, "weight_map": {"embed.weight": "model"}}
