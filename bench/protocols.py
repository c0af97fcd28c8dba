"""What a protocol changes: one model, the same questions, two ways to ask, paired by item.

    python bench/protocols.py [ITEMS]

models/mini and, where it is there, models/distilled; ITEMS (720) rendered questions in full and crop view. Open
questions (the same ones without their options) in the words of our protocol, in the words that the student was trained
on with nothing to choose from, and without any word; multiple choice with another form of letter. Writes
bench/results/protocols.json: accuracies, and what each way changes in either view and in the zooming gap, with 95 %
intervals clustered by image.
"""

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.result import note_code, write_result
from r2i.benchmark.rendered import render_items
from r2i.core.params import Evaluate, Sampling, load_params
from r2i.core.prompts import load_prompt
from r2i.endpoint.local import LocalModel
from r2i.evaluate.predict import predict
from r2i.evaluate.protocol import DEFAULT, Protocol, Wording
from r2i.score.bootstrap import bootstrap_means, interval
from r2i.score.paired import difference

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "bench" / "results" / "protocols.json"
MODELS = ("models/mini", "models/distilled")
VIEWS = ("full", "crop")
STYLE, TOKENS, DRAWS = "mini", 8, 2000
OTHER = {
    "open": {
        "trained_words": Wording(choice="{question}", open="{question}\nchoose"),
        "no_words": Wording(choice="{question}", open="{question}"),
    },
    "choice": {"other_letters": Wording(choice=load_prompt("core", "choose", STYLE).text, option="({letter}) {text}")},
}
"""By the kind of question, ways to ask beside our own protocol's."""

Right = dict[str, np.ndarray]
"""By view, (items,): 1 where the reply is right."""


def main(count: int) -> None:
    models = [name for name in MODELS if (ROOT / name / "config.json").is_file()]
    code = note_code(profiles=["mini"], outs=models)
    params = load_params(ROOT / "params.yaml").profiles["mini"]
    items = render_items(count, params.drawing, seed=7)
    asked = {"choice": items, "open": [item | {"options": [], "label": ""} for item in items]}
    clusters = [item["cluster_id"] for item in items]
    found: dict[str, Any] = {}
    for name in models:
        model = LocalModel(ROOT / name, params.evaluate.batch)
        found[Path(name).name] = {
            kind: compare_ways(
                answer(model, questions, None),
                {way: answer(model, questions, wording) for way, wording in OTHER[kind].items()},
                clusters,
            )
            for kind, questions in asked.items()
        }
    write_result(RESULT, {"items": count, "models": found}, code)
    print(RESULT.read_text(encoding="utf-8"))


def answer(model: LocalModel, items: list[dict[str, Any]], wording: Wording | None) -> Right:
    """What is right, item by item. `wording`: None: our own protocol's."""
    cfg = Evaluate(prompts=STYLE, views=list(VIEWS), samples=0, max_tokens=TOKENS)
    protocol = wording and Protocol(name="other", decoding=Sampling(max_tokens=TOKENS), wordings={DEFAULT: wording})
    cut = load_params(ROOT / "params.yaml").profiles["mini"].drawing.cut
    with tempfile.TemporaryDirectory() as scratch:
        rows = predict(model, items, cfg, cut, 0, scratch=Path(scratch), protocol=protocol)
    right = {(row["view"], row["item_id"]): float(row["correct"] is True) for row in rows}
    return {view: np.array([right[view, item["item_id"]] for item in items]) for view in VIEWS}


def compare_ways(own: Right, others: Mapping[str, Right], clusters: list[str]) -> dict[str, Any]:
    return {"own": {view: float(own[view].mean()) for view in VIEWS}} | {
        way: {
            **{view: describe(own[view], right[view], clusters) for view in VIEWS},
            "gap": change_of_gap(own, right, clusters),
        }
        for way, right in others.items()
    }


def describe(own: np.ndarray, other: np.ndarray, clusters: list[str]) -> dict[str, Any]:
    """Accuracy, and its difference from our protocol's."""
    change = difference(own, other, clusters, DRAWS, 0)
    return {"accuracy": float(other.mean()), "change": change.mean.value, "ci95": list(change.ci95)}


def change_of_gap(own: Right, other: Right, clusters: list[str]) -> dict[str, Any]:
    """Zooming gap (crop minus full), and its difference from the one under our protocol."""
    gaps = [right["crop"] - right["full"] for right in (own, other)]
    drawn = bootstrap_means(np.stack(gaps, axis=1), clusters, DRAWS, 0)
    return {
        "value": float(gaps[1].mean()),
        "change": float((gaps[1] - gaps[0]).mean()),
        "ci95": list(interval(drawn[:, 1] - drawn[:, 0])),
    }


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 720)
