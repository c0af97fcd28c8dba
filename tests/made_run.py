"""A small finished run, made up: the tables and metrics that score, report and track read."""

from pathlib import Path
from typing import Any

import numpy as np

from r2i.core import paths
from r2i.core.boxes import square
from r2i.core.choices import LETTERS, mcq_prompt, shuffle_options
from r2i.core.curve import write_curve
from r2i.core.drawing import make_boxed, make_crop
from r2i.core.ids import make_id, unit_of
from r2i.core.images import jpeg_bytes
from r2i.core.metrics import count_statuses, write_metrics
from r2i.core.params import Cut, Outline, load_params
from r2i.core.provenance import NO_CALL
from r2i.core.records import ANSWERS as ANSWER_TABLE
from r2i.core.records import ATTENTION, BENCHMARK, PREDICTIONS, REGIONS, TRAIN, VOTES
from r2i.core.tables import Row, read_table, write_table
from r2i.mini.language import ask
from r2i.mini.world import ANSWERS, SIZE, Scene, Thing, render_scene

RIGHT = {"base": {"full": 0.5, "crop": 0.97, "boxed": 0.55}, "distilled": {"full": 0.85, "crop": 0.97, "boxed": 0.87},
         "sft": {"full": 0.7, "crop": 0.97, "boxed": 0.7}}  # fmt: skip
NAMES = load_params(Path(__file__).parents[1] / "params.yaml").model_names
STATE = {"status": "ok", "reason": ""}


def make_run(scenes: int = 8, samples: int = 2) -> None:
    """Write a run of `scenes` scenes below the current directory."""
    items: list[Row] = []
    rows: dict[str, list[Row]] = {"regions": [], "votes": [], "answers": [], "train": []}
    for number in range(scenes):
        scene = render_scene(np.random.default_rng(number))
        for thing in scene.things:
            item = _item(scene, thing, f"image-{number:03d}")
            items.append(item)
            _add_teaching(rows, item, scene)
    write_table(paths.BENCHMARK, items, BENCHMARK)
    write_table(paths.REGIONS, rows["regions"], REGIONS)
    write_table(paths.VOTES, rows["votes"], VOTES)
    write_table(paths.ANSWERS, rows["answers"], ANSWER_TABLE)
    write_table(paths.TRAIN, rows["train"], TRAIN)
    for model in RIGHT:
        write_table(paths.PREDICTIONS / model, [p for i in items for p in _predict(i, model, samples)], PREDICTIONS)
    _write_metrics(rows)


def _item(scene: Scene, thing: Thing, image_id: str) -> Row:
    box = square(thing.box, SIZE, SIZE)
    question = ask(thing, thing.mark)
    wrong = [value for value in ANSWERS[thing.mark] if value != thing.value][:3]
    options, label = shuffle_options(thing.value, wrong, question)
    return {
        "item_id": make_id(image_id, box), "image_id": image_id, "cluster_id": image_id,
        "image": jpeg_bytes(scene.image),
        "crop": make_crop(scene.image, box, Cut()), "boxed": make_boxed(scene.image, box, Outline(line=1)),
        "box": box, "question": question, "options": options, "answer": thing.value, "label": label,
        "dimension": thing.mark, "source": "made", **STATE,
    }  # fmt: skip


def _add_teaching(rows: dict[str, list[Row]], item: Row, scene: Scene) -> None:
    shared = {"question_id": make_id("q", item["item_id"]), "region_id": make_id("r", item["item_id"])}
    shared["image_id"] = item["image_id"]
    about = {**shared, "question": item["question"], "dimension": item["dimension"], "answer": item["answer"]}
    rows["regions"].append(
        {**shared, "box": item["box"], "score": 0.9, "area_share": 0.03, "crop": item["crop"], **STATE}
    )
    rows["votes"].append(
        {
            **about,
            "agree": 8,
            "valid": 8,
            "asked": 8,
            "groups": [{"answer": item["answer"], "count": 8}],
            "judge": None,
            **STATE,
        }
    )
    for teacher in ("teacher-a", "teacher-b"):
        rows["answers"] += [
            {**shared, "answer_id": make_id(shared["question_id"], teacher, n), "teacher": teacher, "sample": n,
             "reply": f"<answer>{item['answer']}</answer>", "answer": item["answer"], **NO_CALL, "model": "mini",
             **STATE}
            for n in range(4)
        ]  # fmt: skip
    easy = unit_of("easy", item["item_id"]) < 0.3
    state = {"status": "rejected", "reason": "too_easy"} if easy else STATE
    rows["train"].append(
        {**about, "row_id": make_id(shared["question_id"], "boxed"), "view": "boxed", "box": item["box"],
         "image": None if easy else item["boxed"], "options": item["options"], "label": item["label"],
         "prompt": mcq_prompt(item["question"], item["options"], "mini"), "agree": 8,
         "right": 3 if easy else 1, "tries": 4, "distractor_calls": [], "try_calls": [], **state}
    )  # fmt: skip


def _predict(item: Row, model: str, samples: int) -> list[Row]:
    asked = [("full", 0), ("crop", 0), ("boxed", 0), *[("full", n) for n in range(1, samples + 1)]]
    return [_prediction(item, model, view, sample) for view, sample in asked]


def _prediction(item: Row, model: str, view: str, sample: int) -> Row:
    right = unit_of("reply", model, item["item_id"], view, sample) < RIGHT[model][view]
    letter = item["label"] if right else next(x for x in LETTERS if x != item["label"])
    return {
        "prediction_id": make_id(item["item_id"], view, sample), "item_id": item["item_id"],
        "image_id": item["image_id"], "cluster_id": item["cluster_id"], "source": item["source"], "view": view,
        "sample": sample,
        "reply": f" {item['options'][LETTERS.index(letter)]}<answer> {letter}</answer>", "predicted": letter,
        "rule": "letter", "correct": right, "dimension": item["dimension"], **STATE,
    }  # fmt: skip


def add_zoom() -> None:
    """Give every model a zoom view of the items' own boxes, right where its crop is, and every reply its cost."""
    boxes = {item["item_id"]: item["box"] for item in read_table(paths.BENCHMARK, BENCHMARK, "benchmark")}
    cost = {"tokens_in": 30, "tokens_out": 4, "vision_forwards": 1}
    for model in RIGHT:
        rows = [row | cost for row in read_table(paths.PREDICTIONS / model, PREDICTIONS, "evaluate")]
        zooms = [
            row | {"prediction_id": make_id(row["item_id"], "zoom", 0), "view": "zoom",
                   "zoom_box": boxes[row["item_id"]], "tokens_in": 75, "tokens_out": 8, "vision_forwards": 3}
            for row in rows if row["view"] == "crop"
        ]  # fmt: skip
        write_table(paths.PREDICTIONS / model, rows + zooms, PREDICTIONS)


def add_attention(layers: tuple[int, ...] = (2,)) -> None:
    """Base looks everywhere alike; distilled gives the token at the box's middle as much as all others together."""
    items = read_table(paths.BENCHMARK, BENCHMARK, "benchmark")
    for model in ("base", "distilled"):
        rows = [_look(item, model, layer) for item in items for layer in layers]
        write_table(paths.ATTENTION / model, rows, ATTENTION)


def _look(item: Row, model: str, layer: int) -> Row:
    side = 4
    column, row = ((item["box"][at] + item["box"][at + 2]) * side // (2 * SIZE) for at in (0, 1))
    values = [1.0] * side**2
    if model == "distilled":
        values[row * side + column] = side**2 - 1.0
    return {
        "attention_id": make_id(item["item_id"], layer), "item_id": item["item_id"], "cluster_id": item["cluster_id"],
        "layer": layer, "coverage": 0.5 if model == "distilled" else 1 / side**2, "heads": [0.5],
        "box_share": 1 / side**2, "image_share": 0.2, "grid": [side, side], "frame": [0.0, 0.0, SIZE, SIZE],
        "map": values, **STATE,
    }  # fmt: skip


def _write_metrics(rows: dict[str, list[Row]]) -> None:
    counts: dict[str, Any] = {
        "crop": count_statuses(rows["regions"]), "answer": count_statuses(rows["answers"]),
        "vote": count_statuses(rows["votes"]), "overlay": count_statuses(rows["train"]),
        "sample": {"rows": 10, "status": {"ok": 8, "rejected": 1, "failed": 1},
                   "reason": {"rejected: near_duplicate": 1, "failed: truncated": 1}},
        "audit": {"regions": {"recall": {"value": 0.97, "n": 64}},
                  "train": {"label_precision": {"value": 0.994, "n": 50}}},
    }  # fmt: skip
    for stage, found in counts.items():
        write_metrics(paths.metrics(stage), found)
    steps = [
        {"step": n, "reward": 0.5 + 0.004 * n + 0.05 * unit_of("noise", n), "accuracy": 0.5 + 0.003 * n,
         "format": 1.0, "response_length": 4.0, "kept_groups": 60 - 0.3 * n, "clip_ratio": 0.01,
         "entropy": 0.9 - 0.005 * n}
        for n in range(1, 101)
    ]  # fmt: skip
    write_curve(paths.TRAIN_LOGS / "dapo.json", steps)


def write_params(root: Path) -> None:
    """A params file for a run made here: the smoke profile."""
    text = (Path(__file__).parents[1] / "params.yaml").read_text(encoding="utf-8")
    (root / "params.yaml").write_text(text.replace("\nprofile: mini", "\nprofile: smoke"), encoding="utf-8")
