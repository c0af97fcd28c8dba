"""Self-distillation with a privileged crop: divergences, what each of the two is shown, runs of a tiny model."""

import math
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_run import SMOKE, run, same_model, train_rows

from r2i.core.crops import BY_TRUST
from r2i.core.curve import read_curve
from r2i.core.errors import R2IError
from r2i.core.images import jpeg_bytes
from r2i.core.names import TRAIN_VIEWS
from r2i.core.params import Cut, Opd
from r2i.train.divergence import divergence
from r2i.train.privileged import in_steps, make_pairs

OPD = SMOKE.train.opd
CUT = Cut(upscale=1)


def params(**changes: object) -> Opd:
    return Opd.model_validate({**OPD.model_dump(exclude_unset=True), **changes})


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)),
        ({"divergence": "reverse_kl"}, 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)),
        (  # m = 0.2 * (0.5, 0.5) + 0.8 * (0.25, 0.75) = (0.3, 0.7)
            {"divergence": "jsd", "jsd_weight": 0.2},
            0.2 * (0.5 * math.log(0.5 / 0.3) + 0.5 * math.log(0.5 / 0.7))
            + 0.8 * (0.25 * math.log(0.25 / 0.3) + 0.75 * math.log(0.75 / 0.7)),
        ),
    ],
)
def test_a_divergence_of_two_tokens_is_what_its_formula_says(changes: dict, expected: float) -> None:
    """Teacher (1/2, 1/2), student (1/4, 3/4)."""
    student, teacher = torch.tensor([[0.25, 0.75]]).log(), torch.tensor([[0.5, 0.5]]).log()
    assert divergence(student, teacher, params(**changes)).tolist() == pytest.approx([expected])


def test_few_tokens_count_all_others_as_one() -> None:
    """The teacher's best token alone: (0.7, 0.3) of the teacher against (0.4, 0.6) of the student."""
    teacher, student = torch.tensor([[0.1, 0.7, 0.2]]).log(), torch.tensor([[0.5, 0.4, 0.1]]).log()
    expected = 0.7 * math.log(0.7 / 0.4) + 0.3 * math.log(0.3 / 0.6)
    assert divergence(student, teacher, params(top_k=1)).tolist() == pytest.approx([expected])
    whole = divergence(student, teacher, params())
    assert torch.equal(divergence(student, teacher, params(top_k=3)), whole)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ema_rate": 0.1}, "takes no ema_rate"),
        ({"jsd_weight": 0.5}, "takes no jsd_weight"),
        ({"micro": 3}, "no multiple of micro"),
    ],
)
def test_a_param_that_would_change_nothing_is_refused(changes: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        params(**changes)


def test_the_teacher_sees_the_crop_and_the_student_what_the_row_shows() -> None:
    (row,) = train_rows(1)
    picture = Image.new("RGB", (128, 128), "grey")
    picture.paste("white", (32, 32, 64, 64))
    row |= {"image": jpeg_bytes(picture), "view": "boxed", "prompt": "what ?"}
    ((afar,), (close,), left_out) = make_pairs([row], params(), CUT, "mini")
    assert afar.student.images == (row["image"],) and left_out == {"no_crop": 0}
    (crop,) = afar.teacher.images
    shown = Image.open(BytesIO(crop))
    assert shown.size == (32, 32) and shown.getpixel((16, 16)) > (240, 240, 240)
    assert close.student.images == close.teacher.images == (crop,)
    as_row = row | {"row_id": "other", "view": "crop", "image": b"the crop itself"}
    ((afar,), _, _) = make_pairs([row, as_row], params(show_full=True, show_answer=True), CUT, "mini")
    assert afar.teacher.images == (row["image"], b"the crop itself")
    assert afar.teacher.prompt == "what ? the answer is red" and afar.student.prompt == "what ?"


def test_a_sentence_about_the_box_is_not_said_of_the_crop() -> None:
    from r2i.core.choices import adapt_prompt

    (row,) = train_rows(1)
    row |= {"view": "boxed", "prompt": adapt_prompt("what ?", "boxed", "paper")}
    ((afar,), (close,), _) = make_pairs([row], params(), CUT, "paper")
    assert afar.student.prompt == row["prompt"] != "what ?"
    assert afar.teacher.prompt == close.student.prompt == "what ?"


@pytest.mark.parametrize("style", ["mini", "paper"])
def test_a_box_in_words_is_not_said_of_the_crop(style: str) -> None:
    """Its numbers are of the full image. The same picture without them is where the crop is cut from."""
    from r2i.core.choices import tell_box

    (row,) = train_rows(1)
    told = row | {"row_id": "told", "view": "told", "prompt": tell_box("what ?", row["box"], (128, 128), style)}
    afar, (close,), _ = make_pairs([told, row], params(), CUT, style)
    assert afar[0].student.prompt == told["prompt"] != "what ?"
    assert afar[0].teacher.prompt == close.student.prompt == close.teacher.prompt == "what ?"
    assert afar[0].teacher.images == afar[1].teacher.images
    assert sorted(BY_TRUST) == sorted(TRAIN_VIEWS)


@pytest.mark.parametrize(
    ("changes", "row", "said"),
    [
        ({}, {"box": None}, "none of 1 train rows shows a full image whose crop is known"),
        ({}, {"view": "crop"}, "none of 1 train rows"),
        ({"show_answer": True}, {"answer": ""}, "row row000 has no answer"),
    ],
)
def test_rows_that_opd_can_t_use_are_an_error_with_a_remedy(changes: dict, row: dict, said: str) -> None:
    with pytest.raises(R2IError, match=said):
        make_pairs([{**train_rows(1)[0], **row}], params(**changes), CUT, "mini")


def test_a_row_whose_box_is_not_known_is_left_out_and_counted() -> None:
    one, other = train_rows(2)
    afar, close, left_out = make_pairs([one, other | {"box": None}], params(), CUT, "mini")
    assert (len(afar), len(close), left_out) == (1, 1, {"no_crop": 1})


def test_every_step_has_its_share_of_crops_and_all_rows_have_their_turn() -> None:
    afar, close, _ = make_pairs(train_rows(8), params(), CUT, "mini")
    pairs = in_steps(afar, close, params(batch=4, crop_share=0.25, steps=8), seed=0)
    steps = [pairs[at : at + 4] for at in range(0, len(pairs), 4)]
    assert len(steps) == 8 and all(sum(pair in close for pair in step) == 1 for step in steps)
    seen = [pair.key for pair in pairs if pair in afar]
    assert all(seen.count(pair.key) == 3 for pair in afar)  # 24 places for 8 rows


def seen_afar(count: int) -> list[dict]:
    """Rows whose full image is not what its crop shows."""
    rows = train_rows(count)
    for place, row in enumerate(rows):
        noise = np.random.default_rng(place).integers(0, 256, (128, 128, 3), dtype=np.uint8)
        picture = Image.fromarray(noise)
        picture.paste(("red", "blue", "green", "pink")[place % 4], (32, 32, 64, 64))
        row["image"] = jpeg_bytes(picture)
    return rows


def test_the_student_comes_nearer_to_its_teacher_and_no_answer_is_read(base: Path, tmp_path: Path) -> None:
    unanswered = [row | {"answer": "", "label": "", "options": []} for row in seen_afar(8)]
    (tmp_path / "other").mkdir()
    summary = run(base, tmp_path, "opd", steps=4, rows=unanswered, lr=1e-4, crop_share=0.0)
    run(base, tmp_path / "other", "opd", steps=4, rows=seen_afar(8), lr=1e-4, crop_share=0.0)
    assert (summary["steps"], summary["rollouts"], summary["questions"]) == (4, 32, 8)
    losses = [line["loss"] for line in read_curve(tmp_path / "opd.json")]
    assert losses[-1] < losses[0]
    assert same_model(tmp_path / "opd", tmp_path / "other" / "opd")


@pytest.mark.parametrize(
    "changes",
    [
        {"teacher": "ema", "ema_rate": 0.5},
        {"divergence": "jsd", "top_k": 5, "show_full": True, "rollouts": 2, "micro": 4, "crop_share": 0.0},
    ],
)
def test_other_teachers_go_on_after_a_kill_to_the_same_bytes(base: Path, tmp_path: Path, changes: dict) -> None:
    from r2i.train import trl as module

    def dying(_: str) -> object:
        def sink(step: int, steps: int, line: object) -> None:
            if step == 3:
                raise KeyboardInterrupt

        return sink

    (tmp_path / "whole").mkdir()
    run(base, tmp_path / "whole", "opd", rows=seen_afar(8), steps=4, lr=1e-3, **changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "progress_printer", dying)
        with pytest.raises(KeyboardInterrupt):
            run(base, tmp_path, "opd", rows=seen_afar(8), steps=4, lr=1e-3, **changes)
    run(base, tmp_path, "opd", rows=seen_afar(8), steps=4, lr=1e-3, **changes)
    assert same_model(tmp_path / "opd", tmp_path / "whole" / "opd")
