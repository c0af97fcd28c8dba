"""The student's folder: the base's own files, with this run's pixel limits in its image processor.

OpenRLHF and vLLM have no flags for the limits: both read them from the folder's processor. What training writes gets
the base's processor back, so that base and distilled model look at images alike wherever they are compared.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from r2i.core.disk import new_file, new_folder
from r2i.core.errors import R2IError
from r2i.core.params import Dapo

IMAGE_CONFIGS = ("processor_config.json", "preprocessor_config.json")
PROCESSOR = (
    *IMAGE_CONFIGS, "video_preprocessor_config.json", "chat_template.json", "chat_template.jinja", "tokenizer.json",
    "tokenizer_config.json", "vocab.json", "merges.txt", "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip

CONFIG_PARTS = ("text_config", "vision_config")
HEAD = "lm_head.weight"  # of the output embedding


def prepare_student(base: str, dapo: Dapo, folder: Path) -> Path:
    """Make `folder` anew from the base's files, linked and not copied. Returns it.

    Raises R2IError where the base is not there, can't be fetched, or has no image processor.
    """
    source = base_folder(base)
    with new_folder(folder) as part:
        for file in sorted(source.iterdir()):
            if not file.is_dir():
                _link(file.resolve(), part / file.name)
        _limit_pixels(base, part, dapo)
    return folder


def base_folder(base: str) -> Path:
    """`base` itself where it is a folder, else what the Hugging Face cache holds of the hub model, fetched if needed.

    Raises R2IError.
    """
    path = Path(base)
    if path.is_dir():
        return path.resolve()
    if path.is_absolute() or len(path.parts) != 2 or path.parent.is_dir():
        raise R2IError(f"there is no model at {base}", "run the stage that writes it, `dvc pull`, or give a hub id")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(base))
    except Exception as error:  # the hub's client raises its own errors and those of two HTTP clients
        first = str(error).strip().split("\n")[0][:200]
        raise R2IError(
            f"the model {base} is not in the Hugging Face cache and can't be fetched: {type(error).__name__}: {first}",
            "fetch it where there is a network (`hf download`), and see HF_HUB_OFFLINE, HF_HOME and the id",
        ) from error


def _link(source: Path, target: Path) -> None:
    """A hard link, which other nodes of a shared disk can follow; a symbolic one across disks."""
    try:
        os.link(source, target)
    except OSError:
        target.symlink_to(source)


def _limit_pixels(base: str, folder: Path, dapo: Dapo) -> None:
    """Write the limits into every configuration of the image processor; the base's own files stay as they are."""
    found = False
    for name in IMAGE_CONFIGS:
        path = folder / name
        if not path.exists():
            continue
        config = json.loads(path.read_text(encoding="utf-8"))
        section = config.get("image_processor") if name == "processor_config.json" else config
        if not isinstance(section, dict):
            continue
        found = True
        if dapo.min_pixels is None and dapo.max_pixels is None:
            continue
        section["size"] = _size(base, section, dapo)
        section.pop("min_pixels", None)  # older names of the same two numbers, which would win
        section.pop("max_pixels", None)
        path.unlink()  # the link, not the base's file
        path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if not found:
        raise R2IError(f"{base} has no image processor", "train a vision-language model, e.g. a Qwen3-VL")


def _size(base: str, section: dict[str, Any], dapo: Dapo) -> dict[str, int]:
    """Pixels of an image as the student sees it: Transformers calls the two limits edges."""
    size = section.get("size") or {}
    low = dapo.min_pixels or section.get("min_pixels") or size.get("shortest_edge")
    high = dapo.max_pixels or section.get("max_pixels") or size.get("longest_edge")
    if low is None or high is None:
        raise R2IError(f"the image processor of {base} has no pixel limits", "give dapo.min_pixels and max_pixels both")
    if low > high:
        raise R2IError(
            f"images of at least {low} and at most {high} pixels", "give dapo.min_pixels and max_pixels both"
        )
    return {"shortest_edge": low, "longest_edge": high}


def restore_processor(base: str, result: Path) -> None:
    """Give the trained model in `result` the base's processor and tokenizer, byte by byte.

    Training changes neither, but writes both anew. Raises R2IError where the base has gone.
    """
    source = base_folder(base)
    for name in PROCESSOR:
        (result / name).unlink(missing_ok=True)
        if (source / name).exists():
            shutil.copyfile(source / name, result / name)
    generation = "generation_config.json"
    if (source / generation).exists() and not (result / generation).exists():
        shutil.copyfile(source / generation, result / generation)


def restore_config(base: str, result: Path) -> None:
    """Undo what OpenRLHF leaves in the model in `result`: `use_cache: false` of its training, which makes generation
    several times slower, and a second copy of an output embedding that is the input embedding."""
    source, path = base_folder(base) / "config.json", result / "config.json"
    theirs, ours = (json.loads(each.read_text(encoding="utf-8")) for each in (source, path))
    for before, after in ((theirs, ours), *((theirs.get(part, {}), ours.get(part, {})) for part in CONFIG_PARTS)):
        if "use_cache" in before:
            after["use_cache"] = before["use_cache"]
        else:
            after.pop("use_cache", None)
    path.write_text(json.dumps(ours, indent=2) + "\n", encoding="utf-8")
    if ours.get("tie_word_embeddings"):
        _drop_weight(result, HEAD)


def _drop_weight(folder: Path, name: str) -> None:
    """Write the file of `folder` that holds the weight `name` anew without it, where there is one."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no mapping
            metadata = file.metadata()
        if name not in weights:
            continue
        gone = weights.pop(name).nbytes
        with new_file(path) as part:
            save_file(weights, part, metadata)
        _drop_from_index(folder / "model.safetensors.index.json", name, gone)


def _drop_from_index(path: Path, name: str, size: int) -> None:
    """`size`: of the weight, bytes."""
    if path.is_file():
        index = json.loads(path.read_text(encoding="utf-8"))
        index["weight_map"].pop(name, None)
        index["metadata"]["total_size"] -= size
        path.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
