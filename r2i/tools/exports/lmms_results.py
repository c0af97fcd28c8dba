"""For lmms-eval (as of 0.7): our replies and scores in its form.

`<model>/<date>_results.json` and, for each view, `<model>/<date>_samples_r2i_<view>.jsonl`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r2i.core.disk import new_file
from r2i.core.errors import TableError
from r2i.core.params import Evaluate
from r2i.core.records import OK, REJECTED
from r2i.tools.exports.lmms import TEXTS, Row, prompt_of

UNKNOWN = ("git_hash", "lmms_eval_version", "system_instruction", "chat_template", "fewshot_as_multiturn",
           "start_time", "end_time", "total_evaluation_time_seconds")  # fmt: skip
"""What lmms-eval says of its own runs."""


def write_results(
    folder: Path, model: str, rows: Sequence[Row], order: Sequence[str], cfg: Evaluate, date: str
) -> list[Path]:
    """Write the greedy replies of `model` (rows of PREDICTIONS) as lmms-eval writes its own; the files.

    One task for each view, boxed and zoom too. An unscored reply scores 0, a failed call is no sample. `order`: ids of
    all items as the task r2i_full has them, so that `doc_id` means the same there (`lmms-eval --baseline` pairs by it).
    `date`: as lmms-eval names its files, `%Y%m%d_%H%M%S`.
    """
    place = {item_id: number for number, item_id in enumerate(order)}
    views: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: place.get(row["item_id"], -1)):
        if row["item_id"] not in place:
            raise TableError(
                f"the predictions of {model} name item {row['item_id']}, which is no ok item of the benchmark",
                f"run `dvc repro evaluate@{model}`",
            )
        if row["sample"] == 0 and row["status"] != REJECTED:
            views.setdefault(row["view"], []).append(row)
    views = {view: found for view, found in views.items() if any(row["status"] == OK for row in found)}
    if not views:
        raise TableError(f"{model} has no greedy prediction", f"run `dvc repro evaluate@{model}`")
    target = folder / model
    files = [target / f"{date}_results.json"]
    hashes = {}
    for view, found in sorted(views.items()):
        samples = [_sample(row, number, cfg.prompts) for number, row in enumerate(found) if row["status"] == OK]
        hashes[f"r2i_{view}"] = _sha256("".join(f"sample_{s['doc_id']}{s['doc_hash']}" for s in samples))
        files.append(target / f"{date}_samples_r2i_{view}.jsonl")
        lines = (json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples)
        with new_file(files[-1]) as part:
            part.write_text("".join(lines), encoding="utf-8")
    results = _results(model, {f"r2i_{view}": found for view, found in sorted(views.items())}, cfg, date)
    text = json.dumps(results | {"task_hashes": hashes}, indent=2, ensure_ascii=False)
    with new_file(files[0]) as part:
        part.write_text(text + "\n", encoding="utf-8")
    return files


def _sample(row: Row, number: int, style: str) -> dict[str, Any]:
    """One line. `score` stands there a second time, bare: `--baseline` looks for it."""
    document = {name: row[name] for name in TEXTS} | {"options": list(row["options"] or ())}
    score = float(row["correct"] is True)
    return {
        "doc_id": number,
        "target": row["label"] or row["answer"],
        "filtered_resps": row["reply"],
        "doc_hash": _sha256(json.dumps(document, indent=2, ensure_ascii=False)),
        "acc": {"score": score, "cluster_id": row["cluster_id"], "item_id": row["item_id"]},
        "score": score,
        "input": prompt_of(row, style),
        "r2i": {name: row[name] for name in ("rule", "predicted", "status", "reason", "zoom_box", "reply_key")},
    }


def _results(model: str, tasks: Mapping[str, Sequence[Row]], cfg: Evaluate, date: str) -> dict[str, Any]:
    names = list(tasks)
    first = next(iter(tasks.values()))[0]
    greedy = {"max_new_tokens": cfg.max_tokens, "temperature": 0, "do_sample": False}
    return {
        "results": {task: {"alias": task, **_scores(rows)} for task, rows in tasks.items()},
        "group_subtasks": {task: [] for task in names},
        "configs": {
            task: {"task": task, "output_type": "generate_until", "generation_kwargs": greedy, "repeats": 1,
                   "cluster_key": "cluster_id", "score_key": "score", "metadata": {"version": 1.0}}
            for task in names
        },
        "versions": dict.fromkeys(names, 1.0),
        "n-shot": dict.fromkeys(names, 0),
        "higher_is_better": {task: {"acc": True} for task in names},
        "n-samples": {
            task: {"original": len(rows), "effective": sum(row["status"] == OK for row in rows)}
            for task, rows in tasks.items()
        },
        "config": {"model": f"r2i:{first['endpoint']}", "model_args": f"pretrained={first['model']}", "limit": None,
                   "gen_kwargs": greedy, "scorer": "r2i.scoring"},
        "date": date,
        "model_source": "r2i", "model_name": first["model"], "model_name_sanitized": model,
        **dict.fromkeys(UNKNOWN),
    }  # fmt: skip


def _scores(rows: Sequence[Row]) -> dict[str, Any]:
    """Accuracy and its standard errors, by lmms-eval's formulas: sqrt(var / n), and with clusters
    sqrt(var / n + sum over clusters of d_i d_j, i != j, / n^2) for d = score - mean (arXiv 2411.00640, eq. 4).

    `metrics/evaluate.json` has ours: CR1, which differs by factors of n / (n - 1).
    """
    rows = [row for row in rows if row["status"] == OK]
    n = len(rows)
    mean = sum(row["correct"] is True for row in rows) / n
    clusters: dict[str, list[float]] = {}
    for row in rows:
        clusters.setdefault(row["cluster_id"], []).append((row["correct"] is True) - mean)
    squares = sum(d * d for found in clusters.values() for d in found)
    pairs = sum(sum(found) ** 2 for found in clusters.values()) - squares
    plain = (squares / (n - 1) / n) ** 0.5 if n > 1 else "N/A"
    clustered = max(0.0, squares / (n - 1) / n + pairs / n**2) ** 0.5 if len(clusters) > 1 else "N/A"
    return {
        "acc,none": mean, "acc_stderr,none": plain, "acc_stderr_clt,none": plain,
        "acc_stderr_clustered,none": clustered,
    }  # fmt: skip


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
