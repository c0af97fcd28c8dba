"""OpenRLHF's own loader, generation call, sample generator, advantages and loss, around our executor.

Only the vLLM engine is scripted: it says what it is told to say.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("openrlhf", reason="needs the GPU extra: `make test-stack`")

import torch
from endpoint.fake_server import Server, choices, error, serve
from openrlhf.models.actor import Actor
from openrlhf.models.loss import PolicyLoss
from openrlhf.models.utils import masked_mean
from openrlhf.trainer.ppo_utils import samples_generator
from openrlhf.trainer.ppo_utils.experience import Experience, make_experience_batch, split_experience_batch
from openrlhf.trainer.ppo_utils.experience_maker import RemoteExperienceMaker
from openrlhf.trainer.ppo_utils.kl_controller import FixedKLController
from openrlhf.trainer.ray.vllm_engine import RolloutRayActor, _load_agent_executor
from openrlhf.utils.vlm_utils import merge_mm_train_inputs
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
from vllm import SamplingParams

import r2i.train.openrlhf.agent as agent_file
from r2i.core.errors import R2IError
from r2i.core.images import jpeg_bytes
from r2i.core.params import Dapo, Endpoint, Judge
from r2i.core.records import TRAIN
from r2i.core.tables import Row, write_table
from r2i.train.openrlhf.executor import MOST_BROKEN, read_tallies
from r2i.train.openrlhf.view import HELD, read_reference, write_view
from r2i.train.openrlhf.workspace import SETTINGS_VARIABLE, Files, write_settings
from r2i.train.tokens import conversation, token_counter

MINI = Path(__file__).parents[2] / "models" / "mini"
GROUP, MAX_PROMPT, MAX_RESPONSE = 4, 200, 40
MAX_LENGTH = MAX_PROMPT + MAX_RESPONSE
RIGHT, OTHER, UNCLOSED, EMPTY = "<answer> A</answer>", "<answer> B</answer>", "<answer> A", ""
OPEN = "<answer> green</answer>"  # no option: no rule reads it
HUGE = "red " * MAX_RESPONSE


@pytest.fixture(scope="module")
def processor() -> Any:
    loaded = AutoProcessor.from_pretrained(MINI)
    loaded.pad_token_id = loaded.tokenizer.pad_token_id  # as OpenRLHF's get_tokenizer does
    return loaded


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("R2I_STORE", "R2I_REPLIES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def dapo(**params: Any) -> Dapo:
    known = {"lr": 1e-6, "rollout_prompts": 2, "train_prompts": 2, "group_size": GROUP}
    return Dapo.model_validate(known | {"max_prompt": MAX_PROMPT, "max_response": MAX_RESPONSE} | params)


def judged_by(server: Server, max_calls: int = 99) -> Judge:
    endpoint = {"kind": "openai", "model": "judge", "base_url": server.url, "retries": 0}
    return Judge(endpoint=Endpoint.model_validate(endpoint), max_calls=max_calls)


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as state:
        state.answer = lambda body: choices('{"correct": true}')
        yield state


class Engine:
    """Says `replies` in order: a text, token ids, or an error. Keeps what it was asked."""

    def __init__(self, executor: Any, processor: Any, replies: list[Any]) -> None:
        self.executor, self.processor, self.replies = executor, processor, list(replies)
        self.asked: list[tuple[list[int], Any, Any]] = []

    async def generate(self, tokens: list[int], sampling: Any, multi_modal_data: Any = None) -> Any:
        self.asked.append((tokens, sampling, multi_modal_data))
        reply = self.replies.pop(0)
        await asyncio.sleep(0.001 * (len(self.replies) % 3))  # they end in another order than they began
        if isinstance(reply, BaseException):
            raise reply
        ids = self.processor.tokenizer(reply)["input_ids"] if isinstance(reply, str) else reply
        cut = len(ids) >= MAX_RESPONSE
        ids = ids[:MAX_RESPONSE] if cut else [*ids, self.processor.tokenizer.eos_token_id]
        output = SimpleNamespace(token_ids=ids, text="", finish_reason="length" if cut else "stop", logprobs=None)
        return SimpleNamespace(outputs=[output])


class Setup:
    """A table of one row a prompt, its view, and OpenRLHF's own calls around the executor that it loaded."""

    def __init__(self, tmp_path: Path, processor: Any, monkeypatch: pytest.MonkeyPatch, params: Dapo) -> None:
        self.processor, self.files, self.params = processor, Files.under(tmp_path / "run"), params
        write_settings(self.files, params, engines=1, seed=0)
        monkeypatch.setenv(SETTINGS_VARIABLE, str(self.files.agent_settings))
        rows = [train_row(i) for i in range(6)]
        write_table(tmp_path / "train", rows, TRAIN, shards=2)
        write_view(tmp_path / "train", rows, params, 0, token_counter(processor), self.files.prompts)
        self.lines = [line for line in load(self.files.prompts) if line["label"]]
        self.executor = _load_agent_executor(agent_file.__file__)

    def sampling(self) -> SamplingParams:
        return SamplingParams(temperature=1.0, max_tokens=MAX_RESPONSE, min_tokens=1, skip_special_tokens=False)

    async def group(self, line: Row, replies: list[Any], size: int = GROUP) -> list[dict[str, Any]]:
        """OpenRLHF's `generate_responses` itself, in the actor's place."""
        self.engine = Engine(self.executor, self.processor, replies)
        generate_responses = RolloutRayActor.__ray_metadata__.modified_class.generate_responses
        text = self.processor.apply_chat_template(line["prompt"], tokenize=False, add_generation_prompt=True)
        return await generate_responses(
            self.engine, text, line["label"], self.sampling(), MAX_LENGTH, self.processor, size, line["images"]
        )

    def run(self, *replies: Any, line: int = 0) -> list[dict[str, Any]]:
        return asyncio.run(self.group(self.lines[line], list(replies)))


def load(path: Path) -> list[Row]:
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pylist()


def train_row(number: int) -> Row:
    image = jpeg_bytes(Image.new("RGB", (128, 128), (number * 30, 90, 30)))
    return {field.name: None for field in TRAIN} | {
        "row_id": f"row{number}", "question_id": "q", "region_id": "r", "image_id": f"image{number}", "view": "boxed",
        "image": image, "question": "what color is the dot?", "options": ["red", "blue"], "answer": "red",
        "label": "A", "prompt": f"what color is the dot {number} ?", "status": "ok", "reason": "",
    }  # fmt: skip


@pytest.fixture
def setup(tmp_path: Path, processor: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda **params: Setup(tmp_path, processor, monkeypatch, dapo(**params))


def experiences(outputs: list[dict[str, Any]]) -> list[Experience]:
    """OpenRLHF's own reading of a response."""
    read = samples_generator.SamplesGenerator._process_response_into_experience
    return [read(None, output, max_len=MAX_LENGTH) for output in outputs]


def is_masked(output: dict[str, Any]) -> bool:
    start, end = output["action_ranges"][0]
    return end - start == 1 and output["reward"] == output["scores"] == 0.0


def test_a_group_of_good_unclosed_wrong_and_huge_replies_is_graded_on_its_reply_alone(setup: Any) -> None:
    run = setup()
    outputs = run.run(RIGHT, UNCLOSED, OTHER, HUGE)
    assert [output["reward"] for output in outputs] == [1.0, 0.0, 0.0, 0.0]
    assert [output["scores"] for output in outputs] == [1.0, 0.0, 0.0, 0.0]
    assert [output["extra_logs"]["format"] for output in outputs] == [1.0, 0.0, 1.0, 0.0]
    assert [output["truncated"] for output in outputs] == [False, False, False, True]
    assert {tuple(sorted(output["extra_logs"])) for output in outputs} == {
        ("accuracy", "format", "informative", "judged", "masked")
    }
    for output in outputs:
        assert output["images"] == run.lines[0]["images"]  # the reference goes back, no picture
        (start, end) = output["action_ranges"][0]
        assert output["observation_tokens"][:start] == run.engine.asked[0][0]
        assert end == len(output["observation_tokens"])
    assert read_tallies(run.files.rollout_counts) == {
        "groups": 1, "rollouts": 4, "judged": 0, "masked": 0, "masked_groups": 0,
    }  # fmt: skip


def test_an_empty_reply_and_a_span_that_no_rule_reads_are_wrong_without_a_judge(setup: Any) -> None:
    outputs = setup().run(EMPTY, OPEN, RIGHT, "<answer> </answer>")
    assert [output["reward"] for output in outputs] == [0.0, 0.0, 1.0, 0.0]
    assert [output["extra_logs"]["masked"] for output in outputs] == [0.0] * 4


def test_marks_of_images_and_videos_are_never_sampled_and_the_shared_params_stay_as_they_are(setup: Any) -> None:
    run = setup()
    shared = run.sampling()
    run.sampling = lambda: shared
    run.run(RIGHT, RIGHT, RIGHT, OTHER)
    marks = {6, 7, 4, 5}  # image, video, vision start and end in mini's vocabulary
    assert marks == {run.processor.tokenizer.convert_tokens_to_ids(t) for t in
                     ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")}  # fmt: skip
    assert all(sampling.logit_bias == dict.fromkeys(marks, -100.0) for _, sampling, _ in run.engine.asked)
    assert shared.logit_bias is None


def test_the_picture_is_that_of_the_row_and_is_made_ready_once_for_the_group(setup: Any) -> None:
    run = setup()
    outputs = run.run(RIGHT, RIGHT, RIGHT, OTHER, line=3)
    pictures = [data["image"][0] for _, _, data in run.engine.asked]
    assert all(picture is pictures[0] for picture in pictures)
    row = json.loads(run.lines[3]["label"])["row_id"]
    red = int(row[3:]) * 30
    assert abs(pictures[0].getpixel((64, 64))[0] - red) < 4
    assert len({id(output["mm_train_inputs"]["pixel_values"]) for output in outputs}) == 1
    assert outputs[0]["mm_train_inputs"]["pixel_values"].dtype == torch.bfloat16


def test_the_judge_decides_what_no_rule_reads(setup: Any, server: Server) -> None:
    run = setup(judge=judged_by(server))
    server.answer = lambda body: choices('{"correct": %s}' % str("Reply: green" in str(body)).lower())  # noqa: UP031
    outputs = run.run(OPEN, "<answer> pink</answer>", RIGHT, OPEN)
    assert [output["reward"] for output in outputs] == [1.0, 0.0, 1.0, 1.0]
    assert [output["extra_logs"]["judged"] for output in outputs] == [1.0, 1.0, 0.0, 1.0]
    assert len(server.calls) == 2  # the same words are one call
    assert "Reference answer: red" in str(server.calls)  # the text, not its letter


@pytest.mark.parametrize("trouble", ["outage", "budget", "unparsable", "image mark"])
def test_one_rollout_that_cannot_be_graded_masks_its_group(setup: Any, server: Server, trouble: str) -> None:
    run = setup(judge=judged_by(server, max_calls=1))
    bad: Any = OPEN
    if trouble == "outage":
        server.answer = lambda body: error(500)
    elif trouble == "unparsable":
        server.answer = lambda body: choices("hm")
    elif trouble == "budget":
        assert run.run(RIGHT, "<answer> pink</answer>", RIGHT, OTHER)[1]["reward"] == 1.0  # the one call
    else:
        bad = [6, 6, *run.processor.tokenizer(RIGHT)["input_ids"]]
    outputs = run.run(RIGHT, RIGHT, OTHER, bad, line=1)
    assert all(is_masked(output) for output in outputs)
    assert [output["extra_logs"]["masked"] for output in outputs] == [0.0, 0.0, 0.0, 1.0]
    assert [output["extra_logs"]["accuracy"] for output in outputs] == [1.0, 1.0, 0.0, 0.0]
    tally = read_tallies(run.files.rollout_counts)
    assert (tally["masked"], tally["masked_groups"]) == (1, 1)
    assert all(6 not in output["observation_tokens"][output["action_ranges"][0][0] :] for output in outputs)


def test_a_judge_that_never_worked_ends_the_run_and_no_rollout_waits_for_ever(setup: Any, server: Server) -> None:
    server.answer = lambda body: error(401)
    run = setup(judge=judged_by(server))
    with pytest.raises(R2IError, match="gave no verdict"):
        asyncio.run(asyncio.wait_for(run.group(run.lines[0], [OPEN, RIGHT, RIGHT, OTHER]), 20))


def test_a_picture_that_cannot_be_read_masks_its_group_with_a_blank_one(
    setup: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The engine is not asked; every sample still has pixels, as a batch wants them."""
    run = setup()
    run.lines[0]["images"] = [run.lines[0]["images"][0].rsplit("#", 1)[0] + "#99"]
    outputs = run.run()
    assert all(is_masked(output) for output in outputs)
    assert run.engine.asked == []
    assert all(output["mm_train_inputs"]["pixel_values"].ndim == 2 for output in outputs)
    assert "4 rollouts are masked (TableError: no image at" in capsys.readouterr().err


def test_a_rollout_that_fails_masks_its_group_and_many_in_a_row_end_the_run(setup: Any) -> None:
    run = setup()
    dead = [RuntimeError("engine is dead")] * GROUP
    for _ in range(MOST_BROKEN - 1):
        assert all(is_masked(output) for output in run.run(*dead))
    with pytest.raises(R2IError, match=f"{MOST_BROKEN} groups of rollouts in a row failed.*engine is dead"):
        run.run(*dead)


def test_a_group_that_works_starts_the_count_of_failures_anew(setup: Any) -> None:
    run = setup()
    for _ in range(2):
        for _ in range(MOST_BROKEN - 1):
            run.run(RIGHT, RuntimeError("once"), RIGHT, OTHER)
        assert run.run(RIGHT, RIGHT, RIGHT, OTHER)[0]["reward"] == 1.0


def test_a_rollout_that_is_cancelled_does_not_hold_up_the_others(setup: Any) -> None:
    run = setup()

    async def cancel_one() -> list[Any]:
        run.engine = Engine(run.executor, run.processor, [RIGHT, RIGHT, OTHER, OTHER])
        line, sampling = run.lines[0], run.sampling()
        text = run.processor.apply_chat_template(line["prompt"], tokenize=False, add_generation_prompt=True)
        asked = (text, line["label"], sampling, MAX_LENGTH, run.processor, run.engine, line["images"])
        tasks = [asyncio.ensure_future(run.executor.execute(*asked)) for _ in range(GROUP)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)

    outputs = asyncio.run(cancel_one())
    assert isinstance(outputs[2], asyncio.CancelledError)
    assert all(is_masked(output) for output in outputs[:2] + outputs[3:])


def test_one_row_twice_at_the_same_time_is_two_groups(setup: Any) -> None:
    """Even where the two calls share everything, parameters included."""
    run = setup()
    shared = run.sampling()
    run.sampling = lambda: shared

    async def twice() -> list[list[dict[str, Any]]]:
        line = run.lines[0]
        return await asyncio.gather(run.group(line, [RIGHT] * 4), run.group(line, [OTHER] * 4))

    first, second = asyncio.run(twice())
    assert [output["reward"] for output in first + second] == [1.0] * 4 + [0.0] * 4
    assert run.executor.rollouts._open == {}


def test_a_held_out_row_is_answered_once_without_a_judge_and_counted_nowhere(setup: Any, server: Server) -> None:
    run = setup(judge=judged_by(server))
    line = run.lines[0]
    line["label"] = json.dumps(json.loads(line["label"]) | {"turn": HELD})
    found = {}
    for name, reply in {"right": RIGHT, "wrong": OTHER, "open": OPEN, "failed": RuntimeError("no engine")}.items():
        (output,) = asyncio.run(run.group(line, [reply], size=1))
        found[name] = (output["extra_logs"]["accuracy"], output["extra_logs"]["masked"])
    assert found == {"right": (1.0, 0.0), "wrong": (0.0, 0.0), "open": (0.0, 0.0), "failed": (0.0, 1.0)}
    assert not server.calls and not read_tallies(run.files.rollout_counts)
    run.run(RIGHT, OTHER, RIGHT, OTHER, line=1)  # a group as ever
    assert read_tallies(run.files.rollout_counts)["rollouts"] == GROUP


def test_a_prompt_that_is_too_long_masks_its_group_with_a_prompt_that_fits(setup: Any) -> None:
    """view.py leaves such rows out; a table that changed meanwhile must not break the batch."""
    run = setup()
    run.lines[0]["prompt"] = conversation("dot " * (MAX_PROMPT - 10))
    outputs = run.run(RIGHT, RIGHT, RIGHT, OTHER)
    assert all(is_masked(output) for output in outputs)
    image_tokens = outputs[0]["observation_tokens"].count(6)
    assert image_tokens == outputs[0]["mm_train_inputs"]["image_grid_thw"].prod().item() // 4
    assert len(outputs[0]["observation_tokens"]) <= MAX_LENGTH


class Scripted(samples_generator.SamplesGenerator):
    """OpenRLHF's sample generator, whose engine is `run`'s: replies by row."""

    def __init__(self, run: Any, replies: dict[str, list[Any]], bounds: tuple[float, float]) -> None:
        algo = SimpleNamespace(dynamic_filtering_range=bounds)
        self.args = SimpleNamespace(algo=algo)
        self.run, self.replies, self.seen = run, replies, []

    def _dispatch_prompts_to_vllm(self, prompts: Any, labels: Any, *, images: Any = None, **_: Any) -> list[Any]:
        return [self._answer(label, refs) for label, refs in zip(labels, images, strict=True)]

    def _answer(self, label: str, references: list[str]) -> list[dict[str, Any]]:
        row = json.loads(label)["row_id"]
        self.seen.append(row)
        line = next(line for line in self.run.lines if line["label"] == label)
        return self.run.run(*self.replies[row], line=self.run.lines.index(line))


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (0.1, 0.9)])
def test_masked_groups_are_filtered_out_and_replaced(
    setup: Any, server: Server, monkeypatch: pytest.MonkeyPatch, bounds: tuple[float, float]
) -> None:
    """Rows 0 and 2: mixed. Row 1: mixed but for one that the judge can't decide. Row 3: all right."""
    server.answer = lambda body: error(500)
    run = setup(judge=judged_by(server))
    monkeypatch.setattr(
        samples_generator, "ray",
        SimpleNamespace(wait=lambda refs, **_: (refs[:1], refs[1:]), get=lambda value: value),
    )  # fmt: skip
    mixed, undecided = [RIGHT, OTHER, OTHER, RIGHT], [RIGHT, OTHER, OPEN, RIGHT]
    replies = {"row0": mixed, "row1": undecided, "row2": mixed, "row3": [RIGHT] * 4}
    by_row = {json.loads(line["label"])["row_id"]: line for line in run.lines}
    drawn = [
        ("r2i", ["text"], [by_row[row]["label"]], [by_row[row]["images"]]) for row in ("row0", "row1", "row3", "row2")
    ]
    generator = Scripted(run, replies, bounds)
    kept, consumed, _ = generator._generate_vllm(iter(drawn), 2, dynamic_filtering=True, max_len=MAX_LENGTH)
    assert generator.seen == ["row0", "row1", "row3", "row2"]
    assert {json.loads(one.labels[0])["row_id"] for one in kept} == {"row0", "row2"}
    assert (len(kept), consumed) == (8, 4)


def train_args(buffer: int, factor: float, micro: int) -> Any:
    return SimpleNamespace(
        algo=SimpleNamespace(advantage=SimpleNamespace(estimator="group_norm", gamma=1.0, lambd=1.0)),
        rollout=SimpleNamespace(n_samples_per_prompt=GROUP, max_new_tokens=MAX_RESPONSE, micro_batch_size=micro),
        reward=SimpleNamespace(
            clip_range=None, overlong_buffer_len=buffer or None, overlong_penalty_factor=factor
        ),
        train=SimpleNamespace(dynamic_batch_enable=False),
    )  # fmt: skip


@pytest.mark.parametrize(("buffer", "factor"), [(0, 1.0), (15, 0.3), (MAX_RESPONSE, 1.0)])
@pytest.mark.parametrize("micro", [1, 4])
def test_a_masked_group_has_no_advantage_no_loss_and_no_nan(
    setup: Any, server: Server, buffer: int, factor: float, micro: int
) -> None:
    """One group masked, one not, of replies unlike in length, through OpenRLHF's own maths and the mini model.

    A buffer as long as the reply penalises even one token: the masked reward makes up for it, exactly.
    """
    server.answer = lambda body: error(500)
    run = setup(judge=judged_by(server), overlong_buffer=buffer, overlong_factor=factor)
    gone = run.lines[2] | {"images": [run.lines[2]["images"][0].rsplit("#", 1)[0] + "#99"]}
    outputs = run.run(RIGHT, OPEN, HUGE, OTHER, line=0) + run.run(RIGHT, OTHER, HUGE, OTHER, line=1)
    outputs += asyncio.run(run.group(gone, []))
    maker = RemoteExperienceMaker(
        None, None, None, None, FixedKLController(0.0),
        SimpleNamespace(args=train_args(buffer, factor, micro)), run.processor,
    )  # fmt: skip
    samples = maker.split_rollout_samples(experiences(outputs))
    actor = Actor(AutoModelForImageTextToText.from_pretrained(MINI, dtype=torch.float32))
    actor.is_vlm, actor.packing_samples, actor._vlm_config = True, False, actor.model.config
    for batch in samples:
        pixels = merge_mm_train_inputs(batch.mm_train_inputs, "cpu")
        batch.action_log_probs = actor(batch.sequences, batch.action_mask, batch.attention_mask, **pixels).detach()
        batch.kl = torch.zeros_like(batch.action_log_probs)
        assert bool(masked_mean(batch.kl, batch.action_mask, dim=-1).isfinite().all())
    singles = [one for batch in maker.compute_advantages_and_returns(samples) for one in split_experience_batch(batch)]
    masked, trained = singles[:4] + singles[8:], singles[4:8]
    assert all(one.rewards.item() == 0.0 for one in masked)
    assert all(bool((one.advantages == 0).all()) for one in masked)
    assert any(one.advantages.abs().max() > 0.5 for one in trained)
    for place, one in enumerate(singles):
        batch = make_experience_batch([one])
        pixels = merge_mm_train_inputs(batch.mm_train_inputs, "cpu")
        now = actor(batch.sequences, batch.action_mask, batch.attention_mask, **pixels)
        tokens = batch.action_mask.sum()
        loss, clipped, *_ = PolicyLoss(0.2, 0.3, dual_clip=3.0)(
            now, batch.action_log_probs, batch.advantages, batch.action_mask, batch_num_tokens=tokens
        )
        assert bool(loss.isfinite()) and bool(clipped.isfinite())
        actor.zero_grad()
        loss.backward()
        slope = max(p.grad.abs().max().item() for p in actor.parameters() if p.grad is not None)
        assert (slope > 0) is (4 <= place < 8 and bool(one.advantages.abs().max() > 0))


def test_the_budget_is_shared_by_engines_and_goes_on_after_a_restart(
    setup: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """7 calls for 2 engines: 3 each. After 1 was paid, a new executor of 2 has (7 - 1) // 2 = 3, after 3 it has 2."""
    run = setup(judge=judged_by(server, max_calls=7))
    write_settings(run.files, run.params, engines=2, seed=0)
    first = _load_agent_executor(agent_file.__file__)
    assert first.rollouts.judge.max_calls == 3
    run.executor = first
    run.run(OPEN, "<answer> pink</answer>", "<answer> dot</answer>", RIGHT)
    assert first.rollouts.judge.counts["calls"] == 3
    assert _load_agent_executor(agent_file.__file__).rollouts.judge.max_calls == 2


def test_the_reference_reads_what_the_table_holds(setup: Any) -> None:
    run = setup()
    assert read_reference(run.lines[0]["images"][0])[:2] == b"\xff\xd8"
