"""Write a `version` to params.yaml by changing that one value: comments, order and layout stay."""

import shutil
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, SequenceNode

from r2i.core.disk import new_file
from r2i.core.errors import ParamsError
from r2i.importing.version import Pinned

LISTS = {"pool": ("sample", "pools"), "benchmark": ("benchmark", "sources")}  # what has versions: where it is listed
Span = tuple[int, int]  # first character of a text, and the one after the last


def pin_version(file: Path, profile: str, part: Pinned, version: str) -> None:
    """Set the `version` of `part` in the profile, where that value stands (an alias, a merged section).

    Raises ParamsError where the part can't be found, DiskError where the file can't be written.
    """
    file = file.resolve()  # of a link, what it leads to
    text = file.read_bytes().decode("utf-8")  # with its own line endings
    node = _find(yaml.compose(text, yaml.SafeLoader), profile, part)
    if node is None:
        raise ParamsError(f"{file}: profile {profile} has no {part.what} {part.name!r}", "see profiles in it")
    (start, end), replacement = _change(node, text, version)
    fresh = text[:start] + replacement + text[end:]
    _check(text, fresh, file, profile, part, version)
    with new_file(file) as new:
        new.write_bytes(fresh.encode("utf-8"))
        shutil.copymode(file, new)


def _find(root: Node | None, profile: str, part: Pinned) -> MappingNode | None:
    node = root
    for key in ("profiles", profile, *LISTS[part.what]):
        node = _value(node, key)
    for item in node.value if isinstance(node, SequenceNode) else []:
        name = _value(item, "name") or _value(item, "kind")
        if name is not None and name.value == part.name and isinstance(item, MappingNode):
            return item
    return None


def _value(node: Node | None, key: str) -> Node | None:
    """The value of `key` in a mapping, or in one that is merged into it by `<<`."""
    if not isinstance(node, MappingNode):
        return None
    merged: list[Node] = []
    for name, value in node.value:
        if name.value == key:
            return value  # type: ignore[no-any-return]
        if name.tag == "tag:yaml.org,2002:merge":
            merged += value.value if isinstance(value, SequenceNode) else [value]
    return next((inner for other in merged if (inner := _value(other, key)) is not None), None)


def _change(node: MappingNode, text: str, version: str) -> tuple[Span, str]:
    """The span to replace, and its replacement: the value that there is, or an entry after the last one."""
    for name, value in node.value:
        if name.value == "version":
            start, end = value.start_mark.index, value.end_mark.index
            return (start, end), f'"{version}"' if start != name.end_mark.index + 1 else f' "{version}"'
    last_key, last = node.value[-1]
    at = last.end_mark.index
    while text[at - 1].isspace():  # a block's end mark is on the next line
        at -= 1
    if node.flow_style:
        return (at, at), f', version: "{version}"'
    newline = "\r\n" if "\r\n" in text else "\n"
    end = text.find(newline, at)
    at = len(text) if end < 0 else end  # after a comment
    return (at, at), newline + " " * last_key.start_mark.column + f'version: "{version}"'


def _check(text: str, fresh: str, file: Path, profile: str, part: Pinned, version: str) -> None:
    """Raises ParamsError unless that version alone differs. Profiles that share the part share its version."""
    try:
        before, after = yaml.safe_load(text), yaml.safe_load(fresh)
        pinned = [each["version"] for each in _parts(after["profiles"][profile], part)]
        for section in (*before["profiles"].values(), *after["profiles"].values()):
            for each in _parts(section, part):
                each["version"] = version
        if pinned == [version] and before == after:
            return
    except (yaml.YAMLError, LookupError, TypeError, AttributeError):
        pass
    raise ParamsError(
        f"{file}: the version of {part.what} {part.name!r} can't be put in without changing more",
        f'write it by hand: version: "{version}"',
    )


def _parts(profile: dict[str, Any], part: Pinned) -> list[dict[str, Any]]:
    section, listed = LISTS[part.what]
    found = (profile.get(section) or {}).get(listed) or []
    return [each for each in found if (each.get("name") or each["kind"]) == part.name]
