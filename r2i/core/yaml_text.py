"""YAML as DVC reads it: version 1.2, so that `1e-06` is a number, `010` is ten and `yes` a word, for both alike.

PyYAML alone reads version 1.1: the stage would run with another value than the one that DVC hashes. Its C parser also
dies of a text that nests deeply; here that is an error, as is a key that stands twice, of which PyYAML takes the last.
"""

import re
from collections.abc import Hashable, Iterator
from typing import Any, ClassVar

import yaml

DEEPEST = 100  # collections within one another; params.yaml has 8
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BOOL, _INT, _FLOAT = (f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float"))


def read_yaml(text: str) -> Any:
    """The values of a YAML text. Raises yaml.YAMLError, also for duplicate keys, texts nested over DEEPEST, and a
    collection that holds itself."""
    for _ in scalars(text):
        pass
    try:
        return yaml.load(text, Loader=_Loader)
    except ValueError as error:  # a 13th month
        raise yaml.YAMLError(str(error)) from error


def scalars(text: str) -> Iterator[tuple[str, int]]:
    """Every key and value as it is written, and its line from 1. Raises yaml.YAMLError as `read_yaml` does."""
    around: list[str | None] = []  # anchors of the collections that are open
    for event in yaml.parse(text, Loader=_BASE):
        line = event.start_mark.line + 1  # type: ignore[union-attr]
        if isinstance(event, yaml.CollectionStartEvent):
            around.append(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            around.pop()
        elif isinstance(event, yaml.AliasEvent) and event.anchor in around:
            raise yaml.YAMLError(f"*{event.anchor} at line {line} stands within itself")
        elif isinstance(event, yaml.ScalarEvent):
            yield event.value, line
        if len(around) > DEEPEST:
            raise yaml.YAMLError(f"nested more than {DEEPEST} deep at line {line}")


class _Loader(_BASE):  # type: ignore[misc]
    """The rules for plain scalars are those of ruamel.yaml for version 1.2, which DVC uses."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in rules if tag not in (_BOOL, _INT, _FLOAT)]
        for first, rules in _BASE.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """Also refuses a key that stands twice; one that replaces a merged key (`<<: *other`) is no second."""
        seen: dict[Any, Any] = {}
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
            if name in seen:
                lines = f"lines {seen[name] + 1} and {key.start_mark.line + 1}"
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value} stands twice, {lines}")
            if name:
                seen[name] = key.start_mark.line
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]

    def construct_int(self, node: Any) -> int:
        text = self.construct_scalar(node).replace("_", "").lower()
        prefixed = text.lstrip("+-")[:2] in ("0b", "0o", "0x")
        return int(text, 0) if prefixed else int(text)


_Loader.add_implicit_resolver(_BOOL, re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF"))
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
        r"|[-+]?\.[0-9_]+(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
    ),
    list("-+0123456789."),
)
_Loader.add_implicit_resolver(
    _INT,
    re.compile(r"(?:[-+]?0b[01_]+|[-+]?0o?[0-7_]+|[-+]?[0-9][0-9_]*|[-+]?0x[0-9a-fA-F_]+)\Z"),
    list("-+0123456789"),
)
_Loader.add_constructor(_INT, _Loader.construct_int)
