"""A story as text for a terminal: replies of models are in it, so nothing unprintable goes out."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from r2i.core.tables import Row

WIDTH = 14


def story_text(story: Mapping[str, Any]) -> str:
    """What `r2i lineage` prints without `--json`."""
    lines = [f"{story['kind']} {story['id']}"]
    for row in story.get("rows", []):
        lines += ["", f"train row {row['row_id']}  {_state(row)}", *_fields(row, "view image_sha256 prompt")]
        lines += _fields(row, "options label answer box dimension agree right tries")
    if item := story.get("item"):
        lines += ["", f"benchmark item {item['item_id']}  {_state(item)}"]
        lines += _fields(item, "question options label answer box dimension source image_sha256")
    for model, rows in story.get("predictions", {}).items():
        lines += ["", f"replies of {model}", *(_prediction(row) for row in rows)]
    for name, wanted in _PARTS.items():
        if found := story.get(name):
            lines += ["", f"{name} {found.get(f'{name}_id', '')}  {_state(found)}", *_fields(found, wanted)]
    for region in story.get("regions", []):
        lines += ["", f"region {region['region_id']}  {_state(region)}", *_fields(region, "box score")]
    for question in story.get("questions", []):
        lines += ["", f"question {question['question_id']}  {_state(question)}", *_fields(question, "question")]
    for call in story.get("calls", []):
        lines += ["", *_call(call)]
    lines += ["", *_revision(story["revision"])]
    for path, why in story["missing"].items():
        lines += ["", f"not here: {path} ({why}): `dvc pull {path}` brings it"]
    return "".join(char if char == "\n" else _safe(char) for char in "\n".join(lines))


_PARTS = {
    "question": "question dimension checks repaired",
    "vote": "answer agree valid asked groups",
    "region": "box score area_share name crop_sha256",
    "image": "source pool kind licence width height format phash bytes",
}


def _call(call: Row) -> list[str]:
    about = " ".join(str(call[name]) for name in ("teacher", "sample", "number") if name in call)
    prompt, reply = call["prompt"], call["reply"]
    lines = [f"{call['step']} {about}".strip() + f"  by {call['model']} ({call['endpoint']})"]
    lines.append(_line("prompt", f"{prompt_words(prompt)}, sha256 {call['prompt_sha256']}"))
    lines.append(_line("sampling", json.dumps(call["sampling"])))
    lines.append(_line("reply", f"{call['reply_key']}  {reply['kept'] or reply['why']}"))
    if text := reply.get("text") or call.get("said"):
        lines += [f"  {'':{WIDTH}}| {line}" for line in text.splitlines()]
    if "answer" in call:
        lines.append(_line("read as", f"{call['answer']}  {_state(call)}"))
    return lines


def prompt_words(prompt: Row) -> str:
    """Which file it is, or was."""
    if prompt["now"]:
        return str(prompt["file"])
    if prompt["file"]:
        return f"{prompt['file']} changed since; as it was: commit {prompt['commit'][:12]}"
    return "changed since: no file of this repository has this hash"


def _revision(revision: Row) -> list[str]:
    if revision["why"]:
        return [f"revision: {revision['why']}"]
    commit = revision["commit"] or "none"
    lines = [f"dvc.lock of commit {commit}" + ("" if revision["committed"] else ", changed since and not committed")]
    for name, stage in revision["stages"].items():
        changed = f"; changed since: {', '.join(stage['changed'])}" if stage["changed"] else ", as locked"
        lines.append(_line(name, f"{len(stage['code'])} files of code{changed}"))
        lines += [_line("", _acceptance(row)) for row in stage["accepted"]]
        lines += [_line("", f"{out['path']} {out['md5']} {out['state']}") for out in stage["outs"]]
    return lines


def _acceptance(row: Row) -> str:
    by = f" by {row['by']}" if row["by"] else ""
    return f"not run with this code, which was accepted{by} in place of {row['before']}: {row['why']}"


def _prediction(row: Row) -> str:
    what = f"{row['view']} {row['sample']}"
    return _line(what, f"{'right' if row['correct'] else 'wrong'}: {row['predicted']!r} by {row['rule']}")


def _fields(row: Row, names: str) -> Iterable[str]:
    return [_line(name, _words(row[name])) for name in names.split() if row.get(name) not in (None, "", [])]


def _line(name: str, text: str) -> str:
    first, *rest = text.split("\n")
    return "\n".join([f"  {name:{WIDTH}}{first}", *(f"  {'':{WIDTH}}{line}" for line in rest)])


def _words(value: Any) -> str:
    if isinstance(value, list):
        return " | ".join(_words(item) for item in value)
    if isinstance(value, Mapping):
        return " ".join(f"{name}: {_words(item)}" for name, item in value.items())
    return str(value)


def _state(row: Row) -> str:
    return f"{row.get('status', '')}{': ' + row['reason'] if row.get('reason') else ''}"


def _safe(char: str) -> str:
    """As r2i.tools.replies.show has it: a control character may steer a terminal."""
    return char if char.isprintable() else char.encode("unicode_escape").decode()
