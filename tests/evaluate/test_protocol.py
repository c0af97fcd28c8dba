"""Protocols: what others send is read where it lies, and our requests are then theirs, part by part."""

import base64
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from endpoint.fake_server import Server, choices, serve
from evaluate.made_protocols import SCRIPT, write_tasks, write_vlmevalkit
from PIL import Image

from r2i.benchmark.sources import open_items
from r2i.core.errors import ParamsError
from r2i.core.fingerprint import chosen_params, code_files
from r2i.core.params import Benchmark, BenchmarkSource, Cut, Drawing, Endpoint, Evaluate, Sampling, Zoom, load_params
from r2i.endpoint import connect
from r2i.endpoint.base import Request
from r2i.evaluate.foreign import import_lmms, import_vlmevalkit, import_zwz
from r2i.evaluate.formula import FormulaError, Module
from r2i.evaluate.predict import predict
from r2i.evaluate.protocol import Protocol, Wording, open_protocol, read_protocol, write_protocol
from r2i.evaluate.views import check_prompts

ROOT = Path(__file__).parents[2]
SETTINGS = ("temperature", "top_p", "top_k", "presence_penalty", "repetition_penalty", "max_tokens")


def write_items(folder: Path, count: int = 30) -> list[dict[str, Any]]:
    """Items of the released form: choices in two layouts, open questions, marks of pictures, a line of instruction."""
    rng = np.random.default_rng(0)
    items = []
    for number in range(count):
        for name in ("full", "crop"):
            pixels = rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{name}{number}.jpg", quality=95)
        texts = (f"<image>What is number {number}?\n(A) red\n(B) blue\n(C) {number} dots\nAnswer with a letter.", "A")
        if number % 3 == 1:
            texts = (f"Which sign stands at {number}?\nA. stop\nB. yield", "B")
        if number % 3 == 2:
            texts = (f"  How many windows has house {number}? <image>", f"{number}")
        pictures = {"images": [f"full{number}.jpg"], "crop_images": [f"crop{number}.jpg"]}
        items.append(pictures | {"query": texts[0], "response": texts[1], "bbox": [5, 5, 30, 30]})
    (folder / "zoombench.json").write_text(json.dumps(items))
    return items


def record_script(script: Path, folder: Path, benchmark: str) -> list[dict[str, Any]]:
    """What a script gives its engine, beside stand-ins."""
    recorder, out = Path(__file__).with_name("record_script.py"), folder / f"{benchmark}.out"
    command = [sys.executable, str(recorder), str(script), str(out), "--benchmark", benchmark]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
    return json.loads(out.read_text())


def parts_of_script(seen: dict[str, Any], folder: Path) -> dict[str, Any]:
    system, user = seen["messages"]
    (text,) = [part["text"] for part in user["content"] if part["type"] == "text"]
    order = [part["type"] for part in user["content"]]
    pixels = np.asarray(Image.open(folder / seen["pictures"][0]).convert("RGB")).tobytes()
    settings = {name: seen["settings"][name] for name in SETTINGS}
    return {"system": system["content"], "text": text, "order": order, "pixels": pixels, **settings}


def parts_of_body(body: dict[str, Any]) -> dict[str, Any]:
    *system, user = body["messages"]
    kinds = {"image_url": "image", "text": "text"}
    (text,) = [part["text"] for part in user["content"] if part["type"] == "text"]
    (link,) = [part["image_url"]["url"] for part in user["content"] if part["type"] == "image_url"]
    picture = Image.open(io.BytesIO(base64.b64decode(link.partition(",")[2])))
    return {
        "system": system[0]["content"] if system else None,
        "text": text, "order": [kinds[part["type"]] for part in user["content"]],
        "pixels": np.asarray(picture.convert("RGB")).tobytes(), **{name: body.get(name) for name in SETTINGS},
    }  # fmt: skip


def asked(protocol: Protocol, folder: Path, view: str, source: BenchmarkSource) -> list[dict[str, Any]]:
    """The bodies that a server gets for the items of a benchmark in one view."""
    cfg = Evaluate(views=[view], samples=0)
    benchmark = Benchmark(sources=[source])
    with open_items(benchmark, Drawing(), seed=0) as items, serve() as server:
        server.answer = lambda body: choices("<answer>A</answer>")
        rows = [item | {name: item[name] for name in ("image", "crop", "boxed")} for item in read(items)]
        with connect(Endpoint(kind="openai", model="m", base_url=server.url)) as model:
            predict(model, rows, cfg, Cut(), 0, kind="openai", scratch=folder / "scratch", protocol=protocol)
        return server.calls


def read(items: Any) -> list[dict[str, Any]]:
    """Rows with the bytes of their pictures."""
    return [{name: value() if callable(value) else value for name, value in row.items()} for row in items.rows]


def sort_key(parts: dict[str, Any]) -> tuple[str, bytes]:
    return parts["text"], parts["pixels"]


def compare_with_script(script: Path, protocol: Protocol, folder: Path) -> int:
    """How many requests equal what the script gives its engine, in both views; all of them must."""
    items, count = write_items(folder), 0
    for view, benchmark in (("full", "zoom-bench"), ("crop", "zoom-bench-crop")):
        seen = record_script(script, folder, benchmark)
        theirs = sorted((parts_of_script(one, folder) for one in seen), key=sort_key)
        source = BenchmarkSource(kind="zoombench", path=str(folder / "zoombench.json"), box_unit="pixels")
        ours = sorted(map(parts_of_body, asked(protocol, folder, view, source)), key=sort_key)
        assert len(ours) == len(theirs) == len(items)
        for mine, other in zip(ours, theirs, strict=True):
            assert mine == other
            count += 1
    return count


def test_requests_under_an_imported_protocol_are_those_of_the_script(tmp_path: Path) -> None:
    script = tmp_path / "clone" / "mm-eval" / "infer.py"
    script.parent.mkdir(parents=True)
    script.write_text(SCRIPT)
    protocol = import_zwz(tmp_path / "clone", "zwz")
    write_protocol(tmp_path / "zwz.yaml", protocol)
    again = read_protocol(tmp_path / "zwz.yaml")
    assert again == protocol and again.kind == "zwz" and list(again.origin.files) == ["mm-eval/infer.py"]
    assert compare_with_script(script, again, tmp_path) == 60


def test_tasks_of_lmms_eval_become_wordings(tmp_path: Path) -> None:
    protocol = import_lmms(write_tasks(tmp_path), "official")
    item = {"question": "Which?", "options": ["a b", "c"], "prompt": None}
    assert protocol.text_first and set(protocol.wordings) == {
        "vstar", "hrbench", "cvbench", "mme_realworld", "mme_realworld_cn",
    }  # fmt: skip
    told = item | {"source": "vstar", "prompt": "Which?\n(A) a b\n(B) c\nSay it."}
    assert protocol.text_of(told) == "Look. Which?\nA) a b; B) c\nSay it.\nOne letter."
    assert protocol.decoding_of(item | {"source": "vstar"}) == Sampling(max_tokens=9)
    assert protocol.text_of(item | {"source": "hrbench"}) == "Which?\nA: a b\nB: c\nSay the letter."
    assert protocol.decoding_of(item | {"source": "hrbench"}).max_tokens == 777
    told = item | {"source": "cvbench", "options": ["a", "b", "c", "d", "e"], "prompt": "All {of} it?"}
    assert protocol.text_of(told) == "Say one of A, B, C, D, E.\nAll {of} it?"
    # of one task alone
    assert set(import_lmms(tmp_path / "tasks" / "hrbench", "official").wordings) == {"hrbench"}


def test_benchmarks_of_vlmevalkit_become_wordings(tmp_path: Path) -> None:
    protocol = import_vlmevalkit(write_vlmevalkit(tmp_path), "kit")
    item = {"question": "Which?", "options": ["a", "b"], "prompt": None}
    for kind in ("vstar", "hrbench", "mmstar"):
        assert protocol.text_of(item | {"source": kind}) == "Asked: Which?\n[A] a\n[B] b\nChoose. \n"
    mme = item | {"source": "mme_realworld"}
    assert protocol.text_of(mme) == "Which? One of:\n(A) a\n(B) b\nOne letter."  # with the line of its loader
    assert protocol.text_of(mme | {"question": "哪一个？"}) == "哪一个？ 下面:\n(A) a\n(B) b\n一个字母。"
    assert protocol.decoding == Sampling(max_tokens=2048)


@pytest.mark.parametrize(
    ("question", "chinese"),
    [
        ("图中的BMW M5 Competition的车牌号是什么？", True),
        ("What does the sign 出口 say?", False),
        ('What is written below "欢迎光临请勿触摸展品"?', False),
        ('图中"The North Face Outdoor Equipment Store"是哪一家', True),
        ("“出口”", True),
        ("Which one?", False),
    ],
)
def test_chinese_items_of_mme_realworld_get_the_chinese_words(question: str, chinese: bool, tmp_path: Path) -> None:
    item = {"source": "mine", "question": question, "options": ["a", "b"], "prompt": None}
    protocol = import_lmms(write_tasks(tmp_path), "official").model_copy(update={"kinds": {"mine": "mme_realworld"}})
    head, tail = (" 下面:", "字母： ") if chinese else (" One of:", "Letter: ")
    assert protocol.text_of(item) == f"{question}{head}\n(A) a\n(B) b\n{tail}"


def test_chinese_items_are_never_sent_english_words_that_were_read_elsewhere(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path)
    (tasks / "mme_realworld" / "mme_realworld_cn.yaml").unlink()
    protocol = import_lmms(tasks, "official")
    item = {"source": "mme_realworld", "question": "哪一个？", "options": ["a"], "prompt": None}
    with pytest.raises(ParamsError, match="nothing of the Chinese items of mme_realworld"):
        protocol.text_of(item)
    assert protocol.text_of(item | {"question": "Which?"}).startswith("Which? One of:")
    # words of one's own are sent as they are: by hand, or for a benchmark by its name
    assert protocol.model_copy(update={"origin": None}).text_of(item).startswith("哪一个？ One of:")
    own = protocol.model_copy(update={"kinds": {"cn": "mme_realworld"}})
    own = own.model_copy(update={"wordings": {**own.wordings, "cn": Wording(choice="{question} 选！")}})
    assert own.text_of(item | {"source": "cn"}) == "哪一个？ 选！"


def test_releases_that_are_asked_in_several_ways_are_an_error(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path)
    (tasks / "mme_realworld" / "mme_realworld_lite.yaml").write_text("doc_to_text: !function utils.to_text_cn\n")
    with pytest.raises(ParamsError, match="asks otherwise than"):
        import_lmms(tasks, "official")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('data.loc[index, "multi-choice options"] = head', 'data.loc[index, "multi-choice options"] = "Or:"', "Lite"),
        ('"multi-choice options": head +', '"multi-choice options": os.getenv("HEAD") +', "no formula"),
        ('"multi-choice options": head +', '"choices": head +', "doesn't say what the column"),
        (
            "        write_table(snap",
            "        line = {'multi-choice options': 'x'}\n        write_table(snap",
            "several ways",
        ),
        ('eval(item["multi', 'eval("__import__(\'os\')" + item["multi', "malformed"),
    ],
)
def test_a_loader_whose_column_cannot_be_told_is_an_error(before: str, after: str, said: str, tmp_path: Path) -> None:
    path = write_vlmevalkit(tmp_path) / "vlmeval" / "dataset" / "image_mcq.py"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(ParamsError, match=said):
        import_vlmevalkit(tmp_path, "kit")


@pytest.mark.parametrize(
    "body",
    [
        "    import os\n    os.system('touch ran')\n    return doc['question']",
        "    return open('secret').read() + doc['question']",
        "    return doc.__class__.__name__ + doc['question']",
        "    return '{0.__class__}'.format(doc) + doc['question']",
        "    while True:\n        pass",
        "    return [x for x in range(10**9)]",
        "    return doc['question'] + ' or '.join(sorted(doc))",
    ],
)
def test_a_function_that_does_more_than_make_a_text_is_refused(body: str, tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path)
    (tasks / "hrbench" / "utils.py").write_text(f"def to_text(doc):\n{body}\n")
    with pytest.raises(ParamsError, match="by hand"):
        import_lmms(tasks / "hrbench", "official")
    assert not (Path.cwd() / "ran").exists()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"--temperature", default=0.6', '"--temperature", required=True'),  # whoever runs it says so
        ('"--temperature", default=0.6', '"--temperature", default=-1'),
        ("max_tokens=4096", "max_tokens=0"),
        ("max_tokens=4096", "max_tokens=4096, frequency_penalty=1"),
    ],
)
def test_decoding_that_a_script_does_not_say_is_an_error(before: str, after: str, tmp_path: Path) -> None:
    (tmp_path / "infer.py").write_text(SCRIPT.replace(before, after))
    with pytest.raises(ParamsError, match="by hand"):
        import_zwz(tmp_path / "infer.py", "zwz")


def test_a_record_that_is_filled_after_it_was_listed_is_read_as_python_does() -> None:
    text = "def f():\n    one, all = {}, []\n    all.append(one)\n    one['value'] = 'late'\n    return all"
    assert Module(text).call("f") == [{"value": "late"}]


def test_a_text_that_is_no_python_and_a_place_that_holds_nothing_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FormulaError):
        Module("def f(:")
    for read_place in (import_zwz, import_lmms, import_vlmevalkit):
        with pytest.raises(ParamsError):
            read_place(tmp_path / "nothing", "x")


OWN = {"name": "mine", "decoding": {"max_tokens": 5}, "wordings": {"default": {"choice": "{question} {letters}?"}}}


def write_own(folder: Path, **changes: Any) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(OWN | changes))
    read_protocol.cache_clear()
    return path


def test_what_a_protocol_lacks_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    path = write_own(tmp_path)
    protocol = open_protocol(Evaluate(protocol=str(path)))
    assert protocol and protocol.kind == "own"
    with pytest.raises(ParamsError, match="open questions"):
        protocol.text_of({"source": "s", "options": [], "question": "q"})
    with pytest.raises(ParamsError, match="no protocol at"):
        open_protocol(Evaluate(protocol="zwz-that-nobody-has"))
    with pytest.raises(ParamsError, match="another one"):
        open_protocol(Evaluate(protocol=str(path), protocol_sha256="0" * 64))
    path = write_own(tmp_path, wordings={"vstar": {"choice": "{question}"}})
    sources = [BenchmarkSource(kind="vstar", name="mine", path="x"), BenchmarkSource(kind="hrbench", path="x")]
    with pytest.raises(ParamsError, match="nothing of the benchmark hrbench"):
        open_protocol(Evaluate(protocol=str(path)), sources)
    assert (
        open_protocol(Evaluate(protocol=str(path)), sources[:1]).wording_of({"source": "mine", "question": "q"}).choice
        == "{question}"
    )
    for wording, said in (
        ({"choice": "no place"}, "all items would be asked the same"),
        ({"choice": "{question} {options}", "option": "{letter}"}, "nobody would see the options"),
    ):
        path = write_own(tmp_path, wordings={"default": wording})
        with pytest.raises(ParamsError, match=said):
            open_protocol(Evaluate(protocol=str(path)))


def test_every_prompt_is_made_before_the_first_call(tmp_path: Path) -> None:
    protocol = open_protocol(Evaluate(protocol=str(write_own(tmp_path))))
    item = {"item_id": "i", "source": "s", "question": "q", "options": ["a", "b"], "prompt": None, "status": "ok"}
    cfg = Evaluate(views=["full"])
    check_prompts([item], cfg, protocol)
    with pytest.raises(ParamsError, match="open questions"):
        check_prompts([item, item | {"options": []}], cfg, protocol)
    check_prompts([item, item | {"options": [], "status": "failed"}], cfg, protocol)
    check_prompts([item | {"options": []}], cfg, None)
    for views in ({"views": ["full"], "sampled_views": ["zoom"], "samples": 1}, {"views": ["zoom"]}):
        cfg = Evaluate(prompts="mini", zoom=Zoom(turns=2), **views)
        with pytest.raises(ParamsError, match="tool"):
            check_prompts([item], cfg, None)
    check_prompts([item], Evaluate(prompts="mini", views=["zoom"]), None)


def test_marks_of_pictures_and_turns_in_a_released_text_are_not_sent() -> None:
    wording = Wording(choice="{prompt}")
    protocol = Protocol(name="p", decoding=Sampling(), remove=("<image>",), wordings={"default": wording})
    item = {"source": "s", "question": "q", "options": ["a"], "prompt": "<image><|image_pad|>Which?<|im_end|>\n(A) a"}
    assert protocol.text_of(item) == "Which?\n(A) a"


def test_what_follows_the_options_is_whole_where_it_says_an_option_again() -> None:
    protocol = Protocol(name="p", decoding=Sampling(), wordings={"default": Wording(choice="{question}|{tail}")})
    item = {"source": "s", "question": "Which?", "options": ["red", "letter"]}
    told = item | {"prompt": "Which?\n(A) red\n(B) letter\nAnswer with the letter."}
    assert protocol.text_of(told) == "Which?|\nAnswer with the letter."
    assert protocol.text_of(item | {"prompt": "Which, red or letter?"}) == "Which?|?"
    assert protocol.text_of(item | {"prompt": "Which?"}) == "Which?|"


def test_an_imported_protocol_that_was_changed_is_told_from_what_it_was(tmp_path: Path) -> None:
    protocol = import_vlmevalkit(write_vlmevalkit(tmp_path), "kit")
    write_protocol(tmp_path / "kit.yaml", protocol)
    values = yaml.safe_load((tmp_path / "kit.yaml").read_text())
    values["wordings"]["vstar"]["choice"] += " Think."
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(values))
    assert (read_protocol(tmp_path / "kit.yaml").kind, read_protocol(tmp_path / "other.yaml").kind) == (
        "vlmevalkit", "edited",
    )  # fmt: skip


def test_another_text_in_a_protocols_file_changes_evaluation_and_score_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["profiles"]["mini"]["evaluate"]["protocol"] = "mine.yaml"
    Path("params.yaml").write_text(yaml.safe_dump(params))

    def files() -> dict[str, str]:
        return code_files(load_params(Path("params.yaml")))

    write_own(tmp_path)
    before = files()
    write_own(tmp_path, name="other")
    after = files()
    changed = {name for name in before if before[name] != after[name]}
    evaluated = {f"evaluate-{name}.txt" for name in load_params(Path("params.yaml")).evaluated}
    assert changed == evaluated | {"score.txt", "params.yaml"}
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    assert chosen_params(load_params(Path("params.yaml")))["evaluate"]["protocol"] is None


def test_what_is_not_set_of_a_sampling_changes_no_key_of_a_stored_reply() -> None:
    old = {"temperature": 0.7, "top_p": 0.9, "max_tokens": 8}
    assert Sampling(**old).model_dump() == old
    request = Request("p", (), Sampling(**old), 1)
    assert request.parts("m") == {
        "schema": 2, "model": "m", "prompt": "p", "images": [], "sampling": old, "seed": 1,
    }  # fmt: skip
    for more in ({"top_k": 3}, {"system": "s"}, {"stop": ["x"]}):
        assert Request("p", (), Sampling(**old, **more), 1).key("m") != request.key("m")
    assert Request("p", (), Sampling(**old), 1, text_first=True).key("m") != request.key("m")


def test_a_server_is_sent_what_is_set_and_nothing_else() -> None:
    with serve() as server:
        ask_server(server, Sampling(temperature=0.5, max_tokens=4))
        ask_server(server, Sampling(temperature=0.5, max_tokens=4, top_k=3, min_p=0.1, stop=["\n"], system="s"))
    plain, full = server.calls
    assert not {"top_k", "min_p", "presence_penalty", "repetition_penalty", "stop"} & set(plain)
    assert [message["role"] for message in plain["messages"]] == ["user"]
    assert (full["top_k"], full["min_p"], full["stop"]) == (3, 0.1, ["\n"])
    assert full["messages"][0] == {"role": "system", "content": "s"}


def ask_server(server: Server, sampling: Sampling) -> None:
    server.answer = lambda body: choices("x")
    with connect(Endpoint(kind="openai", model="m", base_url=server.url)) as model:
        model.complete([Request("p", (), sampling, 1)])
