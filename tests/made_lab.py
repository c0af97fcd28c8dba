"""A small finished run whose ids hash to what they name, with a dvc.lock that DVC itself wrote."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from made_run import write_params

from r2i.core import paths
from r2i.core.boxes import area_share, square
from r2i.core.choices import mcq_prompt, shuffle_options
from r2i.core.fingerprint import file_digest
from r2i.core.ids import make_id
from r2i.core.images import cut_crop, jpeg_bytes, sha256
from r2i.core.metrics import count_statuses, write_metrics
from r2i.core.params import Sampling
from r2i.core.prompts import load_prompt
from r2i.core.provenance import call_of
from r2i.core.records import ANSWERS, IMAGES, QUESTIONS, REGIONS, TRAIN, VOTES
from r2i.core.tables import Row, write_table
from r2i.core.text import normalise
from r2i.endpoint.base import Picture, Request
from r2i.endpoint.store import Store
from r2i.mini.language import ask
from r2i.mini.world import ANSWERS as WORDS
from r2i.mini.world import SIZE, render_scene

OK = {"status": "ok", "reason": ""}
TABLES = {"sample": "data/sample/images", "crop": "data/crop/regions", "question": "data/question/questions",
          "answer": "data/answer/answers", "vote": "data/vote/votes", "overlay": "data/overlay/train"}  # fmt: skip
CODE = ("vote", "overlay")  # the stages that have some
OLD_PROMPT = "write some questions\n"
GIT = ("-c", "user.name=lab", "-c", "user.email=lab@example.org")


def run(folder: Path, *command: str) -> str:
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=env | {"DVC_NO_ANALYTICS": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make_chain(root: Path) -> None:
    """A repository in `root`, which must be the current directory: tables, metrics, replies, dvc.lock, two commits."""
    write_params(root)
    for stage in CODE:
        name = f"r2i/{stage}.py"
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("limit = 1\n")
    old = root / "r2i/question/prompts/mini/write.txt"  # what the questions were written with; gone since
    old.parent.mkdir(parents=True)
    old.write_text(OLD_PROMPT)
    run(root, "git", "init", "--quiet")
    run(root, "git", "add", "r2i")
    run(root, "git", *GIT, "commit", "--quiet", "-m", "an old prompt")
    old.unlink()
    write_chain_tables()
    paths.CODE.mkdir()
    for stage in CODE:
        code = f"r2i/{stage}.py"
        (paths.CODE / f"{stage}.txt").write_text(f"{code} {file_digest(Path(code))}\nseed: 0\n")
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {name: _stage(name) for name in TABLES}}))
    run(root, "dvc", "init", "--quiet")
    run(root, "dvc", "commit", "--force", "--quiet")
    Path(".gitignore").write_text("/.r2i/\n")
    run(root, "git", "add", "-A")
    run(root, "git", *GIT, "commit", "--quiet", "-m", "a run")


def _stage(name: str) -> dict[str, Any]:
    before = list(TABLES.values())[: list(TABLES).index(name)]
    code = [f"{paths.CODE}/{name}.txt"] if name in CODE else []
    return {
        "cmd": f"make {name}",
        "deps": [*code, *before[-1:]],
        "params": ["seed", f"profiles.smoke.{name}"],
        "outs": [TABLES[name]],
        "metrics": [f"metrics/{name}.json"],
    }


def write_chain_tables(scenes: int = 3) -> None:
    rows: dict[str, list[Row]] = {name: [] for name in TABLES}
    for number in range(scenes):
        scene = render_scene(np.random.default_rng(number))
        data = jpeg_bytes(scene.image)
        image_id = sha256(data)
        rows["sample"].append({
            "image_id": image_id, "source": f"scenes/{number}", "pool": "scenes", "member": str(number), "start": None,
            "size": len(data), "format": "JPEG", "mode": "RGB", "width": SIZE, "height": SIZE, "phash": "0" * 16,
            "image": data, **OK,
        })  # fmt: skip
        for thing in scene.things:
            box = square(thing.box, SIZE, SIZE)
            region = {"region_id": make_id(image_id, box), "image_id": image_id}
            crop = jpeg_bytes(cut_crop(scene.image, box))
            rows["crop"].append({
                **region, "box": list(box), "score": 0.9, "area_share": area_share(box, SIZE, SIZE), "crop": crop,
                "name": "", "mask": None, "listing": None, **OK,
            })  # fmt: skip
            _teach(rows, region, list(box), ask(thing, thing.mark), thing.value, thing.mark, data)
    schemas = {"sample": IMAGES, "crop": REGIONS, "question": QUESTIONS, "answer": ANSWERS, "vote": VOTES}
    for name, schema in (schemas | {"overlay": TRAIN}).items():
        write_table(Path(TABLES[name]), rows[name], schema)
        write_metrics(paths.metrics(name), count_statuses(rows[name]))


def _teach(
    rows: dict[str, list[Row]], region: Row, box: list[int], question: str, answer: str, mark: str, data: bytes
) -> None:
    about = {"question_id": make_id(region["region_id"], normalise(question)), "question": question, "dimension": mark}
    written = {"model": "big", "endpoint": "openai", "prompt_sha256": sha256(OLD_PROMPT.encode()), "sampling": "{}",
               "reply_key": f"{'ab' * 32}/0"}  # fmt: skip
    rows["question"].append(
        {**region, **about, "checks": [True] * 4, "check": None, "repaired": False, **written, **OK}
    )
    calls = _ask(about["question_id"], answer)
    for teacher in ("teacher-a", "teacher-b"):
        rows["answer"] += [
            {"answer_id": make_id(about["question_id"], teacher, n), "question_id": about["question_id"],
             "image_id": region["image_id"], "teacher": teacher, "sample": n, "answer": answer,
             "reply": f"<answer>{answer}</answer>", **calls[n], **OK}
            for n in range(4)
        ]  # fmt: skip
    groups = [{"answer": answer, "count": 8}]
    vote = {**region, **about, "answer": answer, "agree": 8}
    rows["vote"].append({**vote, "valid": 8, "asked": 8, "groups": groups, "judge": None, **OK})
    options, label = shuffle_options(answer, [w for w in WORDS[mark] if w != answer][:3], about["question_id"])
    rows["overlay"].append({
        **vote, "row_id": make_id(about["question_id"], "full"), "view": "full", "image": data, "box": box,
        "options": options, "label": label, "prompt": mcq_prompt(question, options, "mini"), "right": 1, "tries": 4,
        "distractor_calls": [], "try_calls": [calls[0]], **OK,
    })  # fmt: skip


def _ask(question_id: str, answer: str) -> list[Row]:
    """Four samples of one request, put into the live store as if they had been paid for."""
    prompt = load_prompt("answer", "answer", "mini")
    request = Request(
        prompt.fill(question=question_id), (Picture.of(b"crop"),), Sampling(temperature=0.7), 1, 4, prompt.sha256
    )
    from r2i.endpoint.base import Reply, sample_key

    key = request.key("big")
    replies = {n: Reply(f"\x1b[31mIt is {answer}", "ok", "", sample_key(key, n), "big", 7, 3) for n in range(4)}
    call = {"samples": [0, 1, 2, 3], "kind": "openai"}
    Store(Path(".r2i/store")).put(key, request.parts("big"), prompt.sha256, replies, call)
    return [call_of("openai", request, reply) for reply in replies.values()]
