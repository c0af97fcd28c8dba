"""A profile for one's own photographs and model, written into params.yaml with comments."""

import re
import shutil
from pathlib import Path

import yaml

from r2i.core.disk import new_file
from r2i.core.errors import ParamsError
from r2i.core.names import RESERVED
from r2i.core.params import Params, load_params
from r2i.core.servers import variable

TEMPLATE = Path(__file__).parent / "profile.yaml"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
Marks = dict[str, str]
"""What stands in the template in capital letters, and what takes its place."""


def write_profile(file: Path, name: str, photos: str, model: str, benchmark: str | None) -> Params:
    """Add the profile `name` and its model to the params in `file`, choose it, and give what the file then says.

    `photos`: a folder; `model`: the server's name for it; `benchmark`: a table of questions, None: none yet. Comments
    and layout stay. Raises ParamsError where the name is taken or none, or the file is not laid out as params.yaml is.
    """
    before = load_params(file)
    if not NAME.fullmatch(name) or name in RESERVED:
        raise ParamsError(f"{name!r} can't be the name of a profile and a model", "letters, digits, - and _: photos")
    if name in before.profiles or name in before.models:
        taken = "profile" if name in before.profiles else "model"
        raise ParamsError(f"{file} has a {taken} {name}", "choose another name, or edit what is there")
    text = file.read_text(encoding="utf-8")
    marks = {"NAME": name, "PHOTOS": photos, "MODEL": model, "BENCHMARK": benchmark or "data/pools/questions.jsonl"}
    marks = {mark: yaml.safe_dump(value, width=4096).split("\n")[0] for mark, value in marks.items()}
    registered, profile = _fill(marks, commented=benchmark is None)
    fresh = _append(_append(text, "models", registered, file), "profiles", f"\n{profile}", file)
    fresh = re.sub(r"^profile: .*$", f"profile: {name}", fresh, count=1, flags=re.M)
    with new_file(file) as part:
        part.write_text(fresh, encoding="utf-8")
        shutil.copymode(file, part)
        return load_params(part)


def next_steps(params: Params) -> list[str]:
    """What is to be done before `dvc repro`, a command a line."""
    servers = [name for name, one in params.chosen.endpoints.items() if one.kind == "openai" and one.base_url is None]
    return [f"export {variable(name)}=http://127.0.0.1:8000/v1   # or servers.yaml" for name in servers]


def _fill(marks: Marks, commented: bool) -> tuple[str, str]:
    """The model's entry in the registry, and the profile; what measures is a comment where there is no benchmark."""
    text = TEMPLATE.read_text(encoding="utf-8")
    for mark, value in marks.items():
        text = text.replace(f"<{mark}>", value)
    registered, profile = text.split("---\n")
    if commented:
        head, measured = profile.split("    benchmark:\n")
        lines = ["    benchmark:", *measured.rstrip("\n").split("\n")]
        profile = head + "".join(f"    # {line[4:]}\n" for line in lines)
    return registered, profile


def _append(text: str, key: str, block: str, file: Path) -> str:
    """`text` with `block` as the last lines below a key at the margin. Raises ParamsError where there is none."""
    lines = text.split("\n")
    start = next((place for place, line in enumerate(lines, 1) if re.fullmatch(rf"{key}:\s*(#.*)?", line)), None)
    if start is None:
        raise ParamsError(f"{file} has no line `{key}:`", "write it in block style, as the repository does")
    end = start
    for place in range(start, len(lines)):
        if lines[place].startswith(" "):
            end = place + 1
        elif lines[place] and not lines[place].startswith("#"):
            break
    return "\n".join([*lines[:end], *block.rstrip("\n").split("\n"), *lines[end:]])
