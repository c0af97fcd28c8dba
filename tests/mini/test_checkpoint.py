"""The tokenizer, the packed lessons and the shipped checkpoint."""

from pathlib import Path

import numpy as np
import pytest
import torch

from r2i.mini import language
from r2i.mini.checkpoint import IMAGE_TOKENS, build_model, build_processor, build_tokenizer
from r2i.mini.lessons import Mix, scene_lessons
from r2i.mini.packing import Packer, weighted_loss
from r2i.mini.world import render_scene

SHIPPED = Path(__file__).parents[2] / "models" / "mini"


@pytest.fixture(scope="module")
def lessons():
    rng = np.random.default_rng(1)
    return [lesson for _ in range(12) for lesson in scene_lessons(rng, Mix(crops=1, full=1, pairs=1))]


def test_the_tokenizer_gives_back_every_reply_to_the_letter() -> None:
    tokenizer = build_tokenizer()
    scene = render_scene(np.random.default_rng(0))
    thing = scene.things[0]
    for text in (
        language.reply_with_questions(thing),
        language.NO_QUESTIONS,
        language.reply_to_check(scene, thing, thing, thing.mark),
        language.reply_with_answer("red"),
        language.reply_with_letter("7", "B"),
        language.reply_with_distractors(["1", "2", "3"]),
    ):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == text


def test_no_word_of_a_lesson_is_unknown(lessons) -> None:
    packer = Packer(build_tokenizer())
    for lesson in lessons:
        ids = packer.pack([lesson])["input_ids"]
        assert not (ids == build_tokenizer().unk_token_id).any()


def test_a_packed_lesson_gives_what_each_turn_gives_alone(lessons) -> None:
    """Turns share the images' prefix, never see one another, and start at the same position."""
    model = build_model(0).eval()
    processor, packer = build_processor(), Packer(build_tokenizer())
    lesson = next(item for item in lessons if len(item.turns) >= 2 and len(item.images) == 2)
    inputs = packer.pack([lesson])
    inputs.pop("weights")
    with torch.no_grad():
        packed = model(**inputs).logits[0]
        for (prompt, _), span in zip(lesson.turns, packer.reply_spans(lesson), strict=True):
            content = [{"type": "image", "image": image} for image in lesson.images] + [
                {"type": "text", "text": prompt}
            ]
            alone = processor.apply_chat_template(
                [{"role": "user", "content": content}],
                add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
            )  # fmt: skip
            logits = model(**alone).logits[0, -1]
            assert torch.allclose(logits, packed[span.start - 1], atol=1e-4)


def test_the_loss_counts_only_replies() -> None:
    """Two positions, uniform logits over 4: each costs ln 4; the weights choose which count."""
    logits, ids = torch.zeros(1, 3, 4), torch.tensor([[0, 1, 2]])
    loss = weighted_loss(logits, ids, torch.tensor([[0.0, 0.0, 1.0]]))
    assert loss.item() == pytest.approx(np.log(4))
    logits[0, 1, 2] = 50.0  # sure of the token that counts
    assert weighted_loss(logits, ids, torch.tensor([[0.0, 0.0, 1.0]])).item() == pytest.approx(0, abs=1e-6)


def test_mislabelled_lessons_touch_full_views_alone() -> None:
    rng = np.random.default_rng(5)
    clean = scene_lessons(np.random.default_rng(5), Mix(crops=2, full=0, pairs=0))
    noisy = scene_lessons(rng, Mix(crops=2, full=0, pairs=0, mislabelled=1.0))
    assert [lesson.turns for lesson in clean] == [lesson.turns for lesson in noisy]


def test_the_shipped_checkpoint_is_small_and_loads_with_auto_classes() -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) <= 8 * 2**20
    model = AutoModelForImageTextToText.from_pretrained(SHIPPED)
    processor = AutoProcessor.from_pretrained(SHIPPED)
    assert type(model).__name__ == "Qwen3VLForConditionalGeneration"
    scene = render_scene(np.random.default_rng(0))
    inputs = processor(text=["<|vision_start|><|image_pad|><|vision_end|>"], images=[scene.image], return_tensors="pt")
    assert int((inputs["input_ids"] == model.config.image_token_id).sum()) == IMAGE_TOKENS
    assert processor.tokenizer.get_vocab() == build_tokenizer().get_vocab()
