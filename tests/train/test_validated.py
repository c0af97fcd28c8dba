"""Held-out rows of engine openrlhf: the same as in process, and the best model among those that were measured."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_run import train_rows

from r2i.core.errors import R2IError
from r2i.core.params import Train
from r2i.core.records import TRAIN
from r2i.core.tables import read_table, write_table
from r2i.train.held_out import split_rows
from r2i.train.openrlhf.run import chosen_weights, last_measured, validation_of
from r2i.train.openrlhf.validated import folder_of, is_best, keep_steps, read_measured, steps_in, write_measured
from r2i.train.openrlhf.view import HELD, write_view
from r2i.train.openrlhf.workspace import Files, fingerprint_of

DAPO: dict[str, Any] = {"lr": 1e-4, "rollout_prompts": 4, "train_prompts": 4, "max_prompt": 64, "max_response": 8}
PARAMS: dict[str, Any] = {"engine": "openrlhf", "base": "models/mini", "dapo": DAPO}


def labels(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return [json.loads(line["label"]) for line in pq.read_table(path, columns=["label"]).to_pylist()]


def test_the_rows_that_are_held_out_are_those_of_engine_trl_and_none_is_trained_on(tmp_path: Path) -> None:
    rows = [row | {"image_id": f"image{number // 2}"} for number, row in enumerate(train_rows(24))]
    write_table(tmp_path / "train", rows, TRAIN, shards=2)
    rows = read_table(tmp_path / "train", TRAIN, "overlay")
    train, files = Train.model_validate(PARAMS | {"validation": 0.3}), Files.under(tmp_path)

    def view(share: float) -> Any:
        given = (share, files.held)
        return write_view(tmp_path / "train", rows, train.dapo, 5, lambda *prompt: 9, files.prompts, given)

    facts = view(train.validation)
    held = split_rows(rows, 0.3, 5, 4)[1]
    assert {label["row_id"] for label in labels(files.held)} == {row["row_id"] for row in held}
    assert {label["turn"] for label in labels(files.held)} == {HELD}
    trained = {label["row_id"] for label in labels(files.prompts)}
    assert trained == {row["row_id"] for row in rows} - {row["row_id"] for row in held}
    assert (facts.prompts, facts.held, facts.held_images) == (24 - len(held), len(held), len(held) // 2)
    with pytest.raises(R2IError, match=r"train\.validation 0\.99"):
        view(0.99)


def test_the_best_model_survives_its_checkpoint_and_a_kill(tmp_path: Path) -> None:
    """Steps 2, 4 and 6 are measured; 4 is the best, and its checkpoint is gone when the run ends at step 7."""
    files = Files.under(tmp_path)
    root = files.validated

    def weights(step: int) -> Path:
        files.result.mkdir(exist_ok=True)
        (files.result / "model.safetensors").write_text(f"of step {step}")
        return files.result

    def measure(before: int, step: int, accuracy: float) -> None:
        measured = read_measured(root, before) | {step: accuracy}
        write_measured(root, before, step, measured, weights(step) if is_best(measured, step) else None)

    write_measured(root, 0, 0, {0: 0.9}, None)  # the base is better than all: it is not chosen
    measure(0, 2, 0.25)
    measure(2, 4, 0.75)
    measure(4, 6, 0.99)  # killed before the checkpoint of step 6: it is trained anew, and worse
    keep_steps(root, range(4 + 1))
    assert steps_in(root) == [0, 2, 4] and read_measured(root, 4) == {0: 0.9, 2: 0.25, 4: 0.75}
    measure(4, 6, 0.75)
    keep_steps(root, [6])
    assert not is_best(read_measured(root, 6), 6)  # of equal ones the first
    measured = read_measured(root, 6) | {7: 0.5}
    write_measured(root, 6, 7, measured, None)
    weights(7)
    assert last_measured(root) == measured
    chosen = chosen_weights(files, measured, "best")
    assert chosen == folder_of(root, 7) / "best" and (chosen / "model.safetensors").read_text() == "of step 4"
    assert chosen_weights(files, measured, "last") == files.result
    facts = validation_of({"held": 9, "held_images": 8}, measured, "best")["validation"]
    assert facts == {
        "rows": 9, "images": 8, "base": 0.9, "last": 0.5, "chosen": {"by": "best", "step": 4, "val_accuracy": 0.75},
    }  # fmt: skip


def test_another_validation_is_another_run_and_none_is_the_run_that_it_was(tmp_path: Path) -> None:
    write_table(tmp_path / "train", train_rows(2), TRAIN, shards=1)

    def fingerprint(**changes: Any) -> str:
        return fingerprint_of(Train.model_validate(PARAMS | changes), tmp_path / "train", 0)

    some = {"validation": 0.1}
    found = [fingerprint(), fingerprint(**some), fingerprint(**some, save_every=7), fingerprint(**some, choose="best")]
    assert len(set(found)) == 4 and fingerprint(save_every=7) == found[0]
