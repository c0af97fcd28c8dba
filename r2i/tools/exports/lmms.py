"""For lmms-eval (as of 0.7): the benchmark as tasks r2i_full and r2i_crop that it runs itself.

The folder is for `--include_path`, and stands alone: its utils.py does not import r2i.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r2i.core.choices import is_open, mcq_prompt
from r2i.core.disk import new_folder
from r2i.core.errors import R2IError, TableError
from r2i.core.names import VIEWS, ViewName
from r2i.core.params import OWN_PROTOCOL, Evaluate
from r2i.core.prompts import load_prompt
from r2i.core.records import OK

Row = Mapping[str, Any]
TEMPLATES = Path(__file__).parent / "templates"
TASK_VIEWS: tuple[ViewName, ...] = ("full", "crop")
"""Views that a task can show."""
TEXTS = ("item_id", "cluster_id", "source", "dimension", "question", "answer", "label")
GROUP = 64  # rows of a row group, with their pictures


def write_tasks(folder: Path, items: Iterable[Row], cfg: Evaluate) -> dict[str, list[str]]:
    """Write the tasks, with their items as Parquet beside them; the ids of each view's items, in their order there.

    An item without a crop is in r2i_full alone. Raises TableError where there is no ok item, R2IError where
    `folder` holds anything but an export, or where params ask in others' words: the tasks are in ours.
    """
    if cfg.protocol != OWN_PROTOCOL:
        raise R2IError(
            f"evaluate.protocol is {cfg.protocol}: tasks in our words would ask otherwise than was evaluated",
            f"evaluate with the protocol {OWN_PROTOCOL}, or run the tasks that lmms-eval has",
        )
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "r2i_full.yaml").is_file():
        raise R2IError(f"{folder} holds something else than an export", "name another folder")
    with new_folder(folder) as part:
        return _write_tasks(part, folder.resolve(), items, cfg)


def _write_tasks(part: Path, folder: Path, items: Iterable[Row], cfg: Evaluate) -> dict[str, list[str]]:
    """Into `part`, which becomes `folder`: the tasks name their place."""
    schema = _features().arrow_schema
    paths = {view: part / f"{view}.parquet" for view in TASK_VIEWS}
    writers = {view: pq.ParquetWriter(path, schema, compression="zstd") for view, path in paths.items()}
    written: dict[str, list[str]] = {view: [] for view in TASK_VIEWS}
    try:
        for chunk in _chunks(items):
            for view in TASK_VIEWS:
                column = VIEWS[view].column
                shown = [_document(item, column, cfg.prompts) for item in chunk if item[column] is not None]
                written[view] += [document["item_id"] for document in shown]
                if shown:
                    writers[view].write_table(pa.Table.from_pylist(shown, schema=schema))
    finally:
        for writer in writers.values():
            writer.close()
    if not written["full"]:
        raise TableError("the benchmark has no ok item", "look at metrics/benchmark.json")
    for view in TASK_VIEWS:
        ids = written[view]
        if ids:
            (part / f"r2i_{view}.yaml").write_text(_task_yaml(folder, view, cfg.max_tokens), encoding="utf-8")
        else:
            paths[view].unlink()
    shutil.copy(TEMPLATES / "lmms_utils.py", part / "utils.py")
    return {view: ids for view, ids in written.items() if ids}


def _task_yaml(folder: Path, view: str, max_tokens: int) -> str:
    text = (TEMPLATES / "task.yaml").read_text(encoding="utf-8")
    values = {
        "view": view,
        "folder": json.dumps(str(folder)),  # a JSON string is a YAML string
        "data_files": json.dumps({"test": f"{view}.parquet"}),
        "max_tokens": str(max_tokens),
    }
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


def _features() -> Any:
    """Columns of a task's Parquet; its metadata let `datasets` decode the pictures."""
    from datasets import Features, Image, List, Value

    texts = {name: Value("string") for name in (*TEXTS, "prompt")}
    return Features({"image": Image(), "options": List(Value("string")), **texts})


def _document(item: Row, column: str, style: str) -> dict[str, Any]:
    picture = {"bytes": item[column], "path": None}
    texts = {name: item[name] or "" for name in TEXTS}
    return {"image": picture, "options": list(item["options"] or ()), "prompt": prompt_of(item, style), **texts}


def prompt_of(item: Row, style: str) -> str:
    """What r2i asks in the full view and in the crop view."""
    if is_open(item):
        return load_prompt("evaluate", "open", style).fill(question=item["question"])
    return mcq_prompt(item["question"], list(item["options"]), style)


def _chunks(items: Iterable[Row]) -> Iterator[list[Row]]:
    chunk: list[Row] = []
    for item in items:
        if item["status"] == OK:
            chunk.append(item)
        if len(chunk) == GROUP:
            yield chunk
            chunk = []
    yield chunk
