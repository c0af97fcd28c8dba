"""A small finished run: the tables and metrics that the stages write, each row from the one before it.

Ids hash to what they name, and the teachers' calls are in the store, so that a run can be verified and traced.
"""

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_rows import make_row, prediction_row

from r2i.core import paths
from r2i.core.boxes import Box, area_share, square
from r2i.core.choices import LETTERS, mcq_prompt, shuffle_options
from r2i.core.curve import write_curve
from r2i.core.drawing import make_boxed, make_crop
from r2i.core.ids import make_id, unit_of
from r2i.core.images import jpeg_bytes, read_image, sha256
from r2i.core.metrics import count_statuses, write_metrics
from r2i.core.params import Cut, Outline, Sampling, load_params
from r2i.core.prompts import load_prompt
from r2i.core.provenance import call_of
from r2i.core.records import ANSWERS, ATTENTION, BENCHMARK, IMAGES, PREDICTIONS, QUESTIONS, REGIONS, TRAIN, VOTES
from r2i.core.tables import Row, read_table, write_table
from r2i.core.text import normalise
from r2i.endpoint.base import Picture, Reply, Request, sample_key
from r2i.endpoint.store import Store
from r2i.mini.language import ask
from r2i.mini.world import ANSWERS as WORDS
from r2i.mini.world import SIZE, Scene, Thing, render_scene

TABLES = {
    "sample": (paths.IMAGES, IMAGES),
    "crop": (paths.REGIONS, REGIONS),
    "question": (paths.QUESTIONS, QUESTIONS),
    "answer": (paths.ANSWERS, ANSWERS),
    "vote": (paths.VOTES, VOTES),
    "overlay": (paths.TRAIN, TRAIN),
}
RIGHT = {"base": {"full": 0.5, "crop": 0.97, "boxed": 0.55}, "distilled": {"full": 0.85, "crop": 0.97, "boxed": 0.87},
         "sft": {"full": 0.7, "crop": 0.97, "boxed": 0.7},
         "opd": {"full": 0.8, "crop": 0.96, "boxed": 0.8}}  # fmt: skip
ROOT = Path(__file__).parents[1]
NAMES = load_params(ROOT / "params.yaml").model_names
OLD_PROMPT = "write some questions\n"


def run_stage(monkeypatch: pytest.MonkeyPatch, name: str, *options: str) -> None:
    """Run a stage's script in this process and the current directory. Raises SystemExit where it fails."""
    script = str(ROOT / "stages" / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [script, *options])
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as done:
        if done.code:
            raise


def write_params(root: Path) -> None:
    """A params file for a run made here: the smoke profile."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (root / "params.yaml").write_text(text.replace("\nprofile: mini", "\nprofile: smoke"), encoding="utf-8")


def make_run(scenes: int = 8, samples: int = 2) -> None:
    """Write a run of `scenes` scenes below the current directory; its benchmark asks what its train rows ask.

    `samples`: further replies to each item's full view.
    """
    rows = make_teaching(scenes, "boxed", easy=0.3)
    images = {row["image_id"]: row for row in rows["sample"]}
    pairs = zip(rows["crop"], rows["overlay"], strict=True)
    items = [_item(images[region["image_id"]], region, row) for region, row in pairs]
    write_table(paths.BENCHMARK, items, BENCHMARK)
    for model in RIGHT:
        write_table(paths.PREDICTIONS / model, [p for i in items for p in _predict(i, model, samples)], PREDICTIONS)
    write_teaching(rows)
    _write_metrics()


def make_teaching(scenes: int, view: str = "full", easy: float = 0.0) -> dict[str, list[Row]]:
    """Rows of `scenes` scenes from image to train row, by stage.

    `view`: of the train rows; `easy`: share of the questions that are too easy to train on.
    """
    rows: dict[str, list[Row]] = {stage: [] for stage in TABLES}
    for number in range(scenes):
        scene = render_scene(np.random.default_rng(number))
        data = jpeg_bytes(scene.image)
        image = make_row(
            IMAGES, image_id=sha256(data), source=f"scenes/{number}", pool="scenes", member=str(number), size=len(data),
            format="JPEG", mode="RGB", width=SIZE, height=SIZE, phash=f"{number:016x}", image=data,
        )  # fmt: skip
        rows["sample"].append(image)
        for thing in scene.things:
            _teach(rows, image, scene, thing, view, easy)
    return rows


def write_teaching(rows: dict[str, list[Row]]) -> None:
    for stage, (folder, schema) in TABLES.items():
        write_table(folder, rows[stage], schema)
        write_metrics(paths.metrics(stage), count_statuses(rows[stage]))


def _teach(rows: dict[str, list[Row]], image: Row, scene: Scene, thing: Thing, view: str, easy: float) -> None:
    box = square(thing.box, SIZE, SIZE)
    region = make_row(
        REGIONS, image, region_id=make_id(image["image_id"], box), box=box, score=0.9, name="",
        area_share=area_share(box, SIZE, SIZE), crop=make_crop(scene.image, box, Cut()),
    )  # fmt: skip
    text = ask(thing, thing.mark)
    question = make_row(
        QUESTIONS, region, question_id=make_id(region["region_id"], normalise(text)), question=text,
        dimension=thing.mark, checks=[True] * 4, repaired=False, model="big", endpoint="openai",
        prompt_sha256=sha256(OLD_PROMPT.encode()), sampling="{}", reply_key=f"{'ab' * 32}/0",
    )  # fmt: skip
    calls = _call(question["question_id"], thing.value)
    rows["answer"] += [
        make_row(ANSWERS, question, answer_id=make_id(question["question_id"], teacher, n), teacher=teacher, sample=n,
                 answer=thing.value, reply=f"<answer>{thing.value}</answer>", **calls[n])
        for teacher in ("teacher-a", "teacher-b") for n in range(4)
    ]  # fmt: skip
    groups = [{"answer": thing.value, "count": 8}]
    vote = make_row(VOTES, question, answer=thing.value, agree=8, valid=8, asked=8, groups=groups)
    wrong = [word for word in WORDS[thing.mark] if word != thing.value][:3]
    options, label = shuffle_options(thing.value, wrong, question["question_id"])
    shown = {"full": image["image"], "boxed": make_boxed(scene.image, box, Outline(line=1))}[view]
    row = make_row(
        TRAIN, region, vote, row_id=make_id(question["question_id"], view), view=view, image=shown, options=options,
        label=label, prompt=mcq_prompt(text, options, "mini"), right=1, tries=4, distractor_calls=[],
        try_calls=[calls[0]],
    )  # fmt: skip
    if unit_of("easy", row["row_id"]) < easy:
        row |= {"image": None, "right": 3, "status": "rejected", "reason": "too_easy"}
    for stage, made in (("crop", region), ("question", question), ("vote", vote), ("overlay", row)):
        rows[stage].append(made)


def _call(question_id: str, answer: str) -> list[Row]:
    """Four samples of one request, which no other question shares, put into the live store as if paid for."""
    prompt = load_prompt("answer", "answer", "mini")
    request = Request(prompt.fill(question=question_id), (Picture.of(b"crop"),), Sampling(temperature=0.7), 1, 4,
                      prompt.sha256)  # fmt: skip
    key = request.key("big")
    replies = {n: Reply(f"\x1b[31mIt is {answer}", "ok", "", sample_key(key, n), "big", 7, 3) for n in range(4)}
    call = {"samples": [0, 1, 2, 3], "kind": "openai"}
    Store(Path(".r2i/store")).put(key, request.parts("big"), prompt.sha256, replies, call)
    return [call_of("openai", request, reply) for reply in replies.values()]


def _item(image: Row, region: Row, row: Row) -> Row:
    boxed = make_boxed(read_image(image["image"]), Box(*region["box"]), Outline(line=1))
    return make_row(
        BENCHMARK, row, item_id=make_id("item", image["image_id"], region["box"]), cluster_id=image["image_id"],
        image=image["image"], crop=region["crop"], boxed=boxed, crop_made=True, source="made",
        phash="f" * 16,
    )  # fmt: skip


def _predict(item: Row, model: str, samples: int) -> list[Row]:
    asked = [("full", 0), ("crop", 0), ("boxed", 0), *[("full", n) for n in range(1, samples + 1)]]
    return [_prediction(item, model, view, sample) for view, sample in asked]


def _prediction(item: Row, model: str, view: str, sample: int) -> Row:
    right = unit_of("reply", model, item["item_id"], view, sample) < RIGHT[model][view]
    letter = item["label"] if right else next(x for x in LETTERS if x != item["label"])
    reply = f" {item['options'][LETTERS.index(letter)]}<answer> {letter}</answer>"
    return prediction_row(item, reply, view, sample, predicted=letter, rule="letter", correct=right,
                          tokens_in=None, tokens_out=None, vision_forwards=None)  # fmt: skip


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
    return make_row(
        ATTENTION, item, attention_id=make_id(item["item_id"], layer), layer=layer, heads=[0.5],
        coverage=0.5 if model == "distilled" else 1 / side**2, box_share=1 / side**2, image_share=0.2,
        inclusive=0.6, curve=[1 / side**2, None, 0.5 if model == "distilled" else 1 / side**2],
        grid=[side, side], frame=[0.0, 0.0, SIZE, SIZE], map=values,
    )  # fmt: skip


def _write_metrics() -> None:
    """Those of `audit`, of `sample` with images that were left out, and a training's curve."""
    metrics: dict[str, Any] = {
        "sample": {"rows": 10, "status": {"ok": 8, "rejected": 1, "failed": 1},
                   "reason": {"rejected: near_duplicate": 1, "failed: truncated": 1}},
        "audit": {"regions": {"recall": {"value": 0.97, "n": 64}},
                  "train": {"label_precision": {"value": 0.994, "n": 50}}},
    }  # fmt: skip
    for stage, values in metrics.items():
        write_metrics(paths.metrics(stage), values)
    steps = [
        {"step": n, "reward": 0.5 + 0.004 * n + 0.05 * unit_of("noise", n), "accuracy": 0.5 + 0.003 * n,
         "format": 1.0, "response_length": 4.0, "kept_groups": 60 - 0.3 * n, "clip_ratio": 0.01,
         "entropy": 0.9 - 0.005 * n}
        for n in range(1, 101)
    ]  # fmt: skip
    write_curve(paths.TRAIN_LOGS / "dapo.json", steps)
