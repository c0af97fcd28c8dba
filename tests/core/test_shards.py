"""Shards: where tables are cut, what is made anew, and that nothing of it changes a row."""

import asyncio
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_rows import by_reason, image_row, make_row, question_row, region_row, vote_row
from teacher_fakes import FakeModel, connecting, failed

from r2i.core import paths, records, shards
from r2i.core.catalogue import ANSWERS, IMAGES, QUESTIONS, REGIONS, VOTES, Listed
from r2i.core.errors import R2IError, TableError
from r2i.core.executors import Task, run_tasks
from r2i.core.ids import make_id
from r2i.core.images import sha256
from r2i.core.params import Execution, load_params
from r2i.core.shards import Counts, add_counts, cut_shards, list_shards, make_table, remove_unused, require_ok_rows
from r2i.core.tables import Row, part_name, read_table, write_table
from r2i.question.ask import QuestionWork
from r2i.vote.collect import VoteWork

ROOT = Path(__file__).parents[2]
NUMBERS = range(40)
CUT = {f"image-{number}": f"s{number // 5}" for number in NUMBERS}  # eight shards of five images


def names(count: int) -> list[str]:
    return [sha256(str(number).encode()) for number in range(count)]


def test_shards_are_as_large_as_params_say() -> None:
    cut = cut_shards(names(20_000), 100)
    sizes = [list(cut.values()).count(name) for name in dict.fromkeys(cut.values())]
    # a cut follows the 50th image with 1 / 50: mean 100, deviation 50 but for the bound; 200 shards, 4 sigma = 14
    assert abs(20_000 / len(sizes) - 100) < 15
    assert min(sizes[:-1]) >= 50 and max(sizes) <= 200


def test_images_that_come_together_touch_few_shards_and_the_way_to_a_pool_means_nothing() -> None:
    before = names(10_000)
    new = [sha256(f"new {number}".encode()) for number in range(100)]
    for at in (0, 5_000, len(before)):  # a folder whose name sorts first, amid, or last
        after = cut_shards([*before[:at], *new, *before[at:]], 100)
        old = cut_shards(before, 100)
        changed = {after[name] for name in before if after[name] != old[name]} | {after[name] for name in new}
        assert len(changed) <= 8, at  # of some 100: those with new images, and until the next common cut


def test_removing_one_image_moves_few_others() -> None:
    before = names(10_000)
    old = cut_shards(before, 100)
    gone = random.Random(0).randrange(len(before))
    after = cut_shards(before[:gone] + before[gone + 1 :], 100)
    assert len({name for name in after if after[name] != old[name]}) <= 6 * 100


def test_counts_are_added_key_by_key() -> None:
    assert add_counts({"a": 1, "b": {"x": 2}}, {"b": {"x": 3, "y": 4}}) == {"a": 1, "b": {"x": 5, "y": 4}}


def answer_row(number: int, sample: int, answer: str) -> Row:
    question = question_row(number)
    return make_row(
        records.ANSWERS, question, answer_id=make_id(question["question_id"], sample), teacher="t", sample=sample,
        reply=f"<answer>{answer}</answer>", answer=answer,
    )  # fmt: skip


def write_answers(odd: int | None = None) -> None:
    """Eight answers to each question; of `odd` one is another."""
    rows = [answer_row(n, i, "6" if n == odd and i == 7 else "5") for n in NUMBERS for i in range(8)]
    write_table(paths.ANSWERS, rows, records.ANSWERS, CUT)


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with tables of forty images in eight shards."""
    monkeypatch.chdir(tmp_path)
    write_table(paths.IMAGES, [image_row(n) for n in NUMBERS], records.IMAGES, CUT)
    write_table(paths.REGIONS, [region_row(n) for n in NUMBERS], records.REGIONS, CUT)
    write_table(paths.QUESTIONS, [question_row(n) for n in NUMBERS], records.QUESTIONS, CUT)
    write_answers()
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    return Path("params.yaml")


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def set_params(file: Path, section: str, **values: Any) -> None:
    """Other values in a section of the chosen profile."""
    params = yaml.safe_load(file.read_text(encoding="utf-8"))
    params["profiles"][params["profile"]].setdefault(section, {}).update(values)
    file.write_text(yaml.safe_dump(params), encoding="utf-8")


def kept(stage: str = "vote") -> dict[str, int]:
    """Inodes of the kept shards: one that is made again has another."""
    return {path.name: path.stat().st_ino for path in Path(".r2i/shards", stage).glob("*/*.parquet")}


def table(listed: Listed = VOTES) -> dict[str, bytes]:
    return {part_name(path): path.read_bytes() for path in listed.parts()}


def test_a_table_of_shards_has_the_rows_of_a_table_in_one_piece(params: Path) -> None:
    counts = make_table(VoteWork, params)
    rows = read_table(paths.VOTES, records.VOTES, "vote")
    assert (len(table()), len(rows), counts["status"]) == (8, 40, {"ok": 40})
    for listed in (QUESTIONS, ANSWERS):
        write_table(listed.folder, read_table(listed.folder, listed.schema, ""), listed.schema, 1)
    assert make_table(VoteWork, params) == counts
    assert len(table()) == 1 and read_table(paths.VOTES, records.VOTES, "vote") == rows


def test_what_is_there_is_linked_and_deleting_it_changes_no_byte(params: Path) -> None:
    counts = make_table(VoteWork, params)
    first, made = table(), kept()
    assert make_table(VoteWork, params) == counts and kept() == made
    assert {path.stat().st_ino for path in VOTES.parts()} == set(made.values())  # no copy
    shutil.rmtree(".r2i")
    assert make_table(VoteWork, params) == counts and table() == first


def test_one_changed_reply_costs_one_shard(params: Path) -> None:
    make_table(VoteWork, params)
    before, made = table(), kept()
    write_answers(odd=12)
    make_table(VoteWork, params)
    assert [name for name in before if table()[name] != before[name]] == ["s2"]
    assert len(kept().items() - made.items()) == 1


def test_another_threshold_makes_all_shards_anew_and_the_old_one_finds_its_own(params: Path) -> None:
    make_table(VoteWork, params)
    first, made = table(), kept()
    set_params(params, "vote", min_agreement=7)
    make_table(VoteWork, params)
    assert len(kept()) == 16
    set_params(params, "vote", min_agreement=6)
    make_table(VoteWork, params)
    assert table() == first and made.items() <= kept().items()


def test_params_of_other_stages_and_comments_make_nothing_anew(params: Path) -> None:
    make_table(VoteWork, params)
    made = kept()
    edit(params, "per_crop: 3", "per_crop: 2")
    edit(params, "seed: 0", "seed: 0 # of all that is drawn")
    make_table(VoteWork, params)
    assert kept() == made


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:99] + b"?" + data[100:], lambda _: b""])
def test_a_damaged_shard_is_made_anew(params: Path, damage: Callable[[bytes], bytes]) -> None:
    make_table(VoteWork, params)
    first = table()
    for path in Path(".r2i/shards").glob("*/*/*"):
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(damage(data))
    make_table(VoteWork, params)
    assert table() == first


def test_a_shard_whose_calls_may_yet_succeed_is_not_kept_for_good(
    params: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Region 7's call times out; what the model refused for good, as of region 20, is not asked again."""
    set_params(params, "question", validate=False)
    ill = {region_row(7)["crop"]: failed("timeout"), region_row(20)["crop"]: failed("refused")}
    written = '[{"question": "what digit is on the red square?", "dimension": "ocr"}]'
    model = FakeModel(lambda request, _: ill.get(request.images[0].load(), written))
    monkeypatch.setattr("r2i.endpoint.connect", connecting(model))
    make_table(QuestionWork, params)
    rows = read_table(paths.QUESTIONS, records.QUESTIONS, "question")
    assert {reason for reason in by_reason(rows) if reason.startswith("failed")} >= {
        "failed: timeout", "failed: refused"
    }  # fmt: skip
    asked = len(model.asked)
    ill.clear()
    make_table(QuestionWork, params)
    again = model.asked[asked:]
    assert len(again) == 5  # the shard of region 7
    rows = read_table(paths.QUESTIONS, records.QUESTIONS, "question")
    assert "failed: timeout" not in by_reason(rows) and "failed: refused" in by_reason(rows)


def test_tables_of_different_runs_are_an_error(params: Path) -> None:
    write_table(paths.ANSWERS, [answer_row(1, 0, "5")], records.ANSWERS, {"image-1": "other"})
    with pytest.raises(TableError, match="cut into different shards") as error:
        make_table(VoteWork, params)
    assert error.value.remedy == "run `dvc repro answer`"


def test_a_table_without_an_ok_row_is_an_error(params: Path) -> None:
    rows = [question_row(n, status="failed", reason="timeout") for n in NUMBERS]
    write_table(paths.QUESTIONS, rows, records.QUESTIONS, CUT)
    with pytest.raises(TableError, match=r"no row of .* is ok"):
        make_table(VoteWork, params)
    write_table(paths.QUESTIONS, [], records.QUESTIONS, CUT)
    with pytest.raises(TableError, match="no rows in"):
        require_ok_rows(QUESTIONS)


def test_a_shard_without_rows_is_written_too(params: Path) -> None:
    rows = [question_row(n) for n in NUMBERS if n >= 5]
    write_table(paths.QUESTIONS, rows, records.QUESTIONS, CUT)
    make_table(VoteWork, params)
    assert len(list_shards((VOTES, QUESTIONS))) == 8 and len(read_table(paths.VOTES, records.VOTES, "vote")) == 35


@pytest.mark.parametrize("execution", [{"workers": 3}, {"executor": "ray"}])
def test_every_executor_writes_the_same_bytes(params: Path, execution: dict[str, Any]) -> None:
    if "ray" in execution:
        pytest.importorskip("ray")
    counts = make_table(VoteWork, params)
    first = table()
    shutil.rmtree(".r2i")
    set_params(params, "execution", **execution)
    assert make_table(VoteWork, params) == counts and table() == first


def refuse(given: str, which: list[str], workers: int) -> None:
    if "b" in which:
        raise TableError(f"{given} is torn", "mend it")


def die(given: str, which: list[str], workers: int) -> None:
    if "b" in which:
        os.kill(os.getpid(), signal.SIGKILL)


def run(function: Callable[..., None], names: str = "abcd") -> None:
    run_tasks(Task(function, ("x",), list(names)), Execution(workers=2))


def test_work_names_the_keys_of_its_own_endpoints() -> None:
    params = load_params(ROOT / "params.yaml").model_copy(update={"profile": "one-card"})
    paper = params.model_copy(update={"profile": "paper"})
    assert QuestionWork(params).keys() == [] and QuestionWork(paper).keys() == ["R2I_TEACHER_KEY"]


async def pay(stored: Path) -> None:
    """A reply comes a second after the stage was told to stop, as r2i.endpoint.flow waits for it."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, told.set)
    await asyncio.wait_for(told.wait(), 60)
    await asyncio.sleep(1)
    stored.write_text("")


def fail_or_pay(folder: Path, which: list[str], workers: int) -> None:
    (folder / f"{which[0]} has").write_text(os.environ.get("KEY_OF_A_TEST", "none"))
    if which == ["b"]:
        asyncio.run(pay(folder / "stored"))
    while not (folder / "b has").exists():
        time.sleep(0.05)
    raise TableError("the table is torn", "mend it")


def test_workers_of_a_ray_that_runs_have_keys_and_store_what_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began before the key was exported, as a node of a cluster; what Ray shows of the job doesn't hold it."""
    ray = pytest.importorskip("ray")
    from r2i.core.ray_tasks import connected_ray

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    with connected_ray():
        monkeypatch.setenv("KEY_OF_A_TEST", "sesame-open")
        with pytest.raises(TableError, match="the table is torn"):
            run_tasks(Task(fail_or_pay, (tmp_path,), ["a", "b"], 0, ["KEY_OF_A_TEST"]), Execution(executor="ray"))
        assert (tmp_path / "stored").exists()
        assert [(tmp_path / f"{name} has").read_text() for name in "ab"] == ["sesame-open"] * 2
        assert "sesame-open" not in str(ray.get_runtime_context().runtime_env)


def note_gpu(folder: Path, which: list[str], workers: int) -> None:
    for name in which:
        (folder / name).write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))


@pytest.mark.parametrize(("visible", "seen"), [(None, "0 1 0 0"), ("2,5", "2 5 2 2"), ("GPU-a", "GPU-a " * 4)])
def test_each_worker_has_a_gpu_of_its_own_as_far_as_there_are_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, seen: str
) -> None:
    """Three workers share four items; CUDA counts two devices, of those that are visible."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    run_tasks(Task(note_gpu, (tmp_path,), list("abcd"), gpus=1), Execution(workers=3))
    assert [(tmp_path / name).read_text() for name in "abcd"] == seen.split()


def test_a_workers_error_ends_the_stage_with_its_cause_and_remedy() -> None:
    with pytest.raises(TableError) as error:
        run(refuse)
    assert (error.value.cause, error.value.remedy) == ("x is torn", "mend it")


def test_a_worker_that_dies_is_named_by_its_signal() -> None:
    with pytest.raises(R2IError, match="died \\(by signal SIGKILL\\)"):
        run(die)


def test_what_no_run_uses_any_more_goes_and_what_another_may_use_stays(
    params: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_table(VoteWork, params)
    root = Path(".r2i/shards")
    notes = sorted(root.glob("*/*/*.json"))
    day = 86400.0
    now = notes[0].stat().st_mtime
    for note, days in zip(notes, (40, 2, 2, 2, 0, 0, 0, 0), strict=True):
        os.utime(note, (now - days * day, now - days * day))
    remove_unused(root)
    assert not notes[0].exists() and not notes[0].with_suffix(".parquet").exists() and len(kept()) == 7
    monkeypatch.setenv("R2I_SHARDS_GB", "0")
    remove_unused(root)
    assert {note for note in notes if note.exists()} == set(notes[4:]) and len(kept()) == 4


def test_two_runs_that_make_the_same_shards_at_once_do_no_harm(params: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other run finishes while ours is about to begin."""
    first: dict[str, Any] = {}
    found = shards.run_tasks

    def late(task: Task, *given: Any) -> None:
        if not first:
            first["counts"] = {}
            first["counts"] = make_table(VoteWork, params)
        found(task, *given)

    monkeypatch.setattr(shards, "run_tasks", late)
    counts: Counts = make_table(VoteWork, params)
    assert counts == first["counts"] and len(kept()) == 8


def test_regions_and_votes_agree_on_their_shards(params: Path) -> None:
    write_table(paths.VOTES, [vote_row(n) for n in NUMBERS], records.VOTES, CUT)
    for shard in list_shards((IMAGES, REGIONS, VOTES)):
        images = {row["image_id"] for row in shard.rows(IMAGES, ["image_id", "status"])}
        assert {row["image_id"] for row in shard.ok_rows(VOTES)} == images and len(images) == 5
