import shutil
from collections import Counter, defaultdict
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import chisquare

from r2i.core.errors import EndpointError
from r2i.core.images import jpeg_bytes, read_image
from r2i.core.params import Endpoint, Sampling
from r2i.endpoint import Picture, Request, connect
from r2i.endpoint.base import Turn
from r2i.endpoint.decode import Penalties, PromptBatch, TokenRules, draw_uniforms, sample_tokens
from r2i.endpoint.local import EncodedImage, EncodedRequest, LocalModel, load_local

GREEDY = Sampling(temperature=0, max_tokens=12)
SAMPLED = Sampling(temperature=1, max_tokens=12)
ASKED = ["write questions", "answer the question: how many dots are on the red square?", "what digit is on the ring?"]


def noise(seed: int, size: tuple[int, int] = (48, 48)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return jpeg_bytes(Image.fromarray(pixels))


def ask(seed: int, sampling: Sampling = GREEDY, images: int = 1, n: int = 1) -> Request:
    shown = tuple(noise(seed + i) for i in range(images))
    return Request(ASKED[seed % len(ASKED)], shown, sampling, seed, n)


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> LocalModel:
    return LocalModel(checkpoint, batch=4)


def native_inputs(model: LocalModel, request: Request) -> Any:
    """One request as Transformers' own processor prepares it."""
    content = [{"type": "image"} for _ in request.images] + [{"type": "text", "text": request.prompt}]
    messages = [{"role": "user", "content": content}]
    text = model.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    images = [read_image(picture.load()) for picture in request.images] or None
    return model.processor(text=[text], images=images, return_tensors="pt")


def generate(model: LocalModel, request: Request) -> str:
    """What Transformers' own `generate` replies."""
    never = torch.where(torch.isinf(model.tokens.bias))[0].tolist()
    inputs = native_inputs(model, request)
    out = model.model.generate(
        **inputs, do_sample=False, max_new_tokens=request.sampling.max_tokens, suppress_tokens=never
    )
    return model.processor.tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def test_greedy_replies_equal_generate_token_for_token(model: LocalModel) -> None:
    # one, two and no images, prompts of three lengths, in padded batches of 4
    requests = [ask(seed, images=images) for seed in range(6) for images in (1, 2)] + [ask(7, images=0)]
    ours = [replies[0].text for replies in model.complete(requests)]
    assert ours == [generate(model, request) for request in requests]
    assert len(set(ours)) > 5


def test_samples_depend_neither_on_order_nor_on_company(model: LocalModel) -> None:
    requests = [ask(seed, SAMPLED, n=4) for seed in range(7)]
    together = model.complete(requests)
    assert model.complete(requests[::-1]) == together[::-1]
    assert [model.complete([request])[0] for request in requests] == together
    assert len({reply.text for replies in together for reply in replies}) == 28


def test_a_sample_is_the_same_whether_two_or_four_are_drawn(model: LocalModel) -> None:
    two, four = (model.complete([ask(3, SAMPLED, n=n)])[0] for n in (2, 4))
    assert [reply.text for reply in two] == [reply.text for reply in four[:2]]
    assert [reply.key for reply in two] == [reply.key for reply in four[:2]]


def test_one_call_may_mix_sampling(model: LocalModel) -> None:
    mixed = [ask(0), ask(0, SAMPLED, n=3), ask(1)]
    assert model.complete(mixed) == [model.complete([request])[0] for request in mixed]
    assert [len(replies) for replies in model.complete(mixed)] == [1, 3, 1]


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.6)])
def test_first_tokens_are_as_frequent_as_their_chances(model: LocalModel, temperature: float, top_p: float) -> None:
    sampling = Sampling(temperature=temperature, top_p=top_p, max_tokens=1)
    draws = 2000
    request = Request(ASKED[1], (noise(0),), sampling, 0, draws)
    replies = model.complete([request])[0]
    chances = first_chances(model, request)
    seen = Counter(reply.text for reply in replies)
    assert set(seen) <= set(chances)
    common = [text for text in chances if chances[text] * draws >= 5]  # a chi-square test needs 5 expected in each
    observed = [seen[text] for text in common] + [draws - sum(seen[text] for text in common)]
    expected = [chances[text] * draws for text in common]
    expected.append(draws - sum(expected))
    kept = [(o, e) for o, e in zip(observed, expected, strict=True) if e > 1e-6]
    assert len(kept) > 5
    assert chisquare(*zip(*kept, strict=True)).pvalue > 0.001  # seeded: always the same number


def first_chances(model: LocalModel, request: Request) -> dict[str, float]:
    """Softmax and nucleus of the first token by Transformers' own forward pass, in plain Python."""
    with torch.inference_mode():
        logits = model.model(**native_inputs(model, request)).logits[0, -1] + model.tokens.bias
    softmax = torch.softmax(logits.double() / request.sampling.temperature, -1).tolist()
    ranked: list[tuple[int, float]] = sorted(enumerate(softmax), key=lambda pair: -pair[1])
    kept: dict[int, float] = {}
    for token, chance in ranked:
        if sum(kept.values()) < request.sampling.top_p:
            kept[token] = chance
    total = sum(kept.values())
    chances: defaultdict[str, float] = defaultdict(float)
    for token, chance in kept.items():
        chances[model.processor.tokenizer.decode([token], skip_special_tokens=True)] += chance / total
    return dict(chances)


def test_image_marks_and_padding_are_never_said(model: LocalModel) -> None:
    vocabulary = len(model.processor.tokenizer)
    banned = set(model.processor.tokenizer.convert_ids_to_tokens(torch.where(model.tokens.bias[:vocabulary] < 0)[0]))
    assert banned == {"<pad>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"}
    assert torch.isinf(model.tokens.bias[vocabulary:]).all()
    logits = torch.zeros(1000, len(model.tokens.bias))  # no preference: 1000 even draws hit each of up to 160 ids
    evenly = torch.linspace(0, 1 - 2**-53, 1000, dtype=torch.float64)
    drawn = sample_tokens(logits + model.tokens.bias, Sampling(temperature=1), evenly)
    assert set(drawn.tolist()) == set(torch.where(model.tokens.bias == 0)[0].tolist())


def test_draws_belong_to_their_seed_and_sample_alone() -> None:
    alone = draw_uniforms([7], draws=3, steps=5)  # (3, 5)
    among = draw_uniforms([9, 7, 8], draws=4, steps=8)  # (12, 8); seed 7 has rows 4 to 7
    assert (among[4:7, :5] == alone).all()
    assert len(np.unique(among)) == 12 * 8
    assert 0 <= among.min() < among.max() < 1


def test_a_reply_cut_by_length_is_failed_and_keeps_its_text(model: LocalModel) -> None:
    reply = model.complete([ask(0, Sampling(max_tokens=1))])[0][0]
    assert (reply.status, reply.reason) == ("failed", "truncated")
    assert reply.text


def test_a_reply_that_ends_is_ok_and_one_that_ends_at_once_is_empty(
    model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = model.complete([ask(0)])[0][0]
    ids = model.processor.tokenizer(reply.text)["input_ids"]
    later = next(i for i, token in enumerate(ids) if token != ids[0])
    monkeypatch.setattr(model, "tokens", TokenRules(frozenset([ids[later]]), model.tokens.bias))
    ended = model.complete([ask(0)])[0][0]
    assert (ended.status, ended.reason) == ("ok", "")
    assert reply.text.startswith(ended.text)
    monkeypatch.setattr(model, "tokens", TokenRules(frozenset([ids[0]]), model.tokens.bias))
    empty = model.complete([ask(0)])[0][0]
    assert (empty.text, empty.status, empty.reason) == ("", "failed", "empty")


def test_rows_that_end_early_change_nothing_for_the_others(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    # 40 of the vocabulary's tokens end a reply, so that rows leave the batch at different steps
    monkeypatch.setattr(model, "tokens", TokenRules(frozenset(range(60, 100)), model.tokens.bias))
    requests = [ask(seed, SAMPLED, n=2) for seed in range(8)]
    together = model.complete(requests)
    assert together == [model.complete([request])[0] for request in requests]
    assert {reply.status for replies in together for reply in replies} == {"ok", "failed"}


def test_a_picture_that_cannot_be_read_fails_its_own_request_alone(model: LocalModel) -> None:
    good = ask(1)
    bad = Request(ASKED[0], (b"not a picture",), GREEDY, 0, n=2)
    narrow = Request(ASKED[0], (noise(0, (402, 2)),), GREEDY, 0)
    forged = Request("what is <|image_pad|>?", (noise(0),), GREEDY, 0)
    replies = model.complete([bad, good, narrow, forged])
    assert [reply.reason for reply in replies[0]] == ["unreadable", "unreadable"]
    assert [replies[2][0].reason, replies[3][0].reason] == ["too_narrow", "bad_request"]
    assert replies[1] == model.complete([good])[0]


def test_an_image_is_encoded_once_however_often_it_is_shown(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LocalModel(checkpoint, batch=2)
    encoded: list[int] = []
    encode = model.encoder.encode

    def counting(images: list[Image.Image]) -> list[EncodedImage]:
        encoded.append(len(images))
        return encode(images)

    monkeypatch.setattr(model.encoder, "encode", counting)
    shown = (noise(0), noise(1))
    model.complete([Request(prompt, shown, GREEDY, 0) for prompt in ASKED])
    assert sum(encoded) == 2


def test_features_are_dropped_when_they_fill_their_share(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LocalModel(checkpoint)
    one = next(iter(model.encoder.encode_pictures([Picture.of(noise(0))]).values())).size()  # type: ignore[union-attr]
    monkeypatch.setattr("r2i.endpoint.local.CACHE_BYTES", 2 * one)
    model.encoder.encode_pictures([Picture.of(noise(i)) for i in range(1, 5)])
    assert len(model.encoder.cache) == 2


def test_jpegs_of_any_mode_can_be_shown(model: LocalModel) -> None:
    buffer = BytesIO()
    Image.new("L", (40, 30), 128).save(buffer, "JPEG")
    assert model.complete([Request(ASKED[0], (buffer.getvalue(),), GREEDY, 0)])[0][0].reason in {"", "truncated"}


def test_a_missing_folder_is_refused_with_a_remedy(tmp_path: Path) -> None:
    endpoint = Endpoint(model=str(tmp_path / "distilled"))
    with pytest.raises(EndpointError, match=r"there is no model at .*dvc repro"), connect(endpoint):
        pass


@pytest.mark.parametrize("harm", ["no weights", "half the weights", "no config", "no tokenizer", "a lost tensor"])
def test_a_broken_folder_is_refused_by_name(checkpoint: Path, tmp_path: Path, harm: str) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(checkpoint, folder)
    weights = folder / "model.safetensors"
    if harm == "no weights":
        weights.unlink()
    elif harm == "half the weights":
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    elif harm == "no config":
        (folder / "config.json").unlink()
    elif harm == "no tokenizer":
        for path in folder.glob("tokenizer*"):
            path.unlink()
    else:
        from safetensors.torch import load_file, save_file

        tensors = load_file(weights)
        del tensors["model.language_model.norm.weight"]
        save_file(tensors, weights, {"format": "pt"})
    with pytest.raises(EndpointError, match="broken") as error:
        load_local(folder)
    assert error.value.remedy


def test_top_k_and_min_p_leave_the_likely_tokens_alone() -> None:
    logits = torch.tensor([[0.0, 3.0, 2.0, -1.0]]).repeat(50, 1)
    uniforms = torch.linspace(0, 0.999, 50, dtype=torch.float64)
    assert set(sample_tokens(logits, Sampling(temperature=1), uniforms).tolist()) == {0, 1, 2, 3}
    assert set(sample_tokens(logits, Sampling(temperature=1, top_k=2), uniforms).tolist()) == {1, 2}
    assert set(sample_tokens(logits, Sampling(temperature=1, min_p=0.5), uniforms).tolist()) == {1}
    assert (
        sample_tokens(logits, Sampling(temperature=1, top_k=9), uniforms).tolist()
        == sample_tokens(logits, Sampling(temperature=1), uniforms).tolist()
    )


def test_penalties_count_the_prompt_for_repetition_and_the_reply_for_presence() -> None:
    ids, mask = torch.tensor([[0, 2, 3]]), torch.tensor([[0, 1, 1]])  # the first is padding
    none = torch.empty(0)
    prompts = PromptBatch(none, mask, none, none, none, [], ids)
    penalties = Penalties(Sampling(presence_penalty=0.5, repetition_penalty=2.0), prompts, 2, 5)
    penalties.note([1], torch.tensor([4]))
    logits = torch.tensor([[1.0, 1.0, 1.0, -1.0, 4.0]]).repeat(2, 1)
    assert penalties.apply(logits, [0, 1]).tolist() == [[1.0, 1.0, 0.5, -2.0, 4.0], [1.0, 1.0, 0.5, -2.0, 1.5]]
    assert penalties.apply(logits[:1], [1]).tolist() == [[1.0, 1.0, 0.5, -2.0, 1.5]]
    assert Penalties(Sampling(), prompts, 1, 5).apply(logits, [0, 1]) is logits


def test_a_system_message_and_earlier_turns_are_in_the_prompt_and_a_stop_ends_the_reply(model: LocalModel) -> None:
    plain = Request("what color ?", (), Sampling(max_tokens=6), 0)
    ((free,),) = model.complete([plain])
    assert len(free.text) > 1
    ((cut,),) = model.complete([replace(plain, sampling=Sampling(max_tokens=6, stop=[free.text[1]]))])
    assert cut.text == free.text[: free.text.index(free.text[1])]
    before = (Turn("user", "questions"), Turn("assistant", "wrong"))
    told = replace(plain, sampling=Sampling(system="answer the"), before=before)
    rendered = model.render_prompt(EncodedRequest(told, []))
    places = [rendered.index(text) for text in ("answer the", "questions", "wrong", "what color ?")]
    assert places == sorted(places)
