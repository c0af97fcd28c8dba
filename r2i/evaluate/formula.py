"""What a small function of others makes of a made record, read from its syntax tree: none of its code is run.

Texts, lists, dicts, loops over these, and their plain methods are known. Whatever else a function does is a
FormulaError, so that what comes out is what the function says or nothing.
"""

import ast
import re
import string
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NoReturn

STEPS = 20_000  # that reading one function may take
LONGEST = 100_000  # characters or entries of a value
METHODS: dict[type, frozenset[str]] = {
    str: frozenset(
        "strip lstrip rstrip replace split rsplit splitlines join format upper lower startswith endswith find title "
        "removeprefix removesuffix partition rpartition count capitalize isdigit isalpha".split()
    ),
    dict: frozenset({"get", "items", "keys", "values"}),
    list: frozenset({"append", "extend"}),
}
CALLS: dict[str, Callable[..., Any]] = {
    "len": len, "range": lambda *a: range(*a)[:STEPS], "enumerate": lambda *a: list(enumerate(*a)),
    "zip": lambda *a: list(zip(*a, strict=False)), "str": str, "int": int, "chr": chr, "ord": ord, "list": list,
    "dict": dict, "sorted": sorted, "re.findall": re.findall, "re.sub": re.sub, "pd.isna": lambda value: value is None,
    "eval": lambda text: _written_out(text),
}  # fmt: skip
CONSTANTS = {"string.ascii_uppercase": string.ascii_uppercase, "string.ascii_lowercase": string.ascii_lowercase}
KINDS: dict[str, type] = {"int": int, "str": str, "list": list, "dict": dict, "float": float}
BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b, ast.Sub: lambda a, b: a - b,
}  # fmt: skip
COMPARED: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: lambda a, b: a == b, ast.NotEq: lambda a, b: a != b, ast.Lt: lambda a, b: a < b, ast.Gt: lambda a, b: a > b,
    ast.LtE: lambda a, b: a <= b, ast.GtE: lambda a, b: a >= b, ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b, ast.Is: lambda a, b: a is b, ast.IsNot: lambda a, b: a is not b,
}  # fmt: skip


class FormulaError(ValueError):
    """A function does what can't be read as a formula."""


class Thing(dict[str, Any]):
    """An object of which some attributes are known; what its methods return stands below their names with `()`."""


class _Returned(Exception):
    def __init__(self, value: Any) -> None:
        self.value = value


class Module:
    """The functions and the constants of a module's text."""

    def __init__(self, text: str) -> None:
        """Raises FormulaError where it is no Python."""
        try:
            self.tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError) as error:
            raise FormulaError(f"no Python: {error}") from error
        self.functions = {node.name: node for node in self.tree.body if isinstance(node, ast.FunctionDef)}
        self.constants = _constants(self.tree.body)
        self.classes: dict[str, dict[str, Any]] = {}
        self.steps = 0
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef):
                methods = {f"{node.name}.{one.name}": one for one in node.body if isinstance(one, ast.FunctionDef)}
                self.functions |= methods
                self.classes[node.name] = _constants(node.body)

    def names(self, text: str) -> bool:
        """Whether `text` is written out anywhere in it."""
        return any(isinstance(node, ast.Constant) and node.value == text for node in ast.walk(self.tree))

    def call(self, name: str, *args: Any, **more: Any) -> Any:
        """What the function returns. Raises FormulaError where it can't be read, or fails on these values."""
        if name not in self.functions:
            raise FormulaError(f"there is no function {name}")
        return self.apply(self.functions[name], *args, **more)

    def apply(self, function: ast.FunctionDef, *args: Any, **more: Any) -> Any:
        """`call` of a function that stands by no name in the module."""
        self.steps, name = 0, function.name
        try:
            return self._call(function, list(args), more)
        except FormulaError:
            raise
        except (
            TypeError,
            ValueError,
            KeyError,
            IndexError,
            AttributeError,
            OverflowError,
            RecursionError,
            re.error,
        ) as error:
            raise FormulaError(f"{name}: {type(error).__name__}: {error}") from error

    def _call(self, function: ast.FunctionDef, args: list[Any], more: Mapping[str, Any]) -> Any:
        given = function.args
        if given.vararg or given.posonlyargs:
            _refuse(function, "its arguments")
        names = [arg.arg for arg in given.args]
        local = dict(zip(names[len(names) - len(given.defaults) :], map(ast.literal_eval, given.defaults), strict=True))
        local |= dict(zip(names, args, strict=False)) | {key: more[key] for key in more if key in names}
        if missing := [name for name in names if name not in local]:
            raise FormulaError(f"{function.name} needs {', '.join(missing)}")
        try:
            self._run(function.body, local)
        except _Returned as returned:
            return returned.value
        return None

    def _run(self, body: list[ast.stmt], local: dict[str, Any]) -> None:
        for node in body:
            self._step()
            match node:
                case ast.Return(value):
                    raise _Returned(None if value is None else self._value(value, local))
                case ast.Assign([target], value):
                    self._assign(target, self._value(value, local), local)
                case ast.AnnAssign(target, _, ast.expr() as value):
                    self._assign(target, self._value(value, local), local)
                case ast.AugAssign(ast.Name(name), op, value) if type(op) in BINARY:
                    local[name] = _bounded(BINARY[type(op)](local[name], self._value(value, local)))
                case ast.If(test, then, other):
                    self._run(then if self._value(test, local) else other, local)
                case ast.For(target, over, inner, []):
                    for one in self._value(over, local):
                        self._assign(target, one, local)
                        self._run(inner, local)
                case ast.Expr(ast.Constant()) | ast.Pass():
                    pass
                case ast.Expr(value):
                    self._value(value, local)
                case _:
                    _refuse(node, type(node).__name__)

    def _assign(self, target: ast.expr, value: Any, local: dict[str, Any]) -> None:
        match target:
            case ast.Name(name):
                local[name] = _bounded(value)
            case ast.Tuple(parts):
                for part, one in zip(parts, value, strict=True):
                    self._assign(part, one, local)
            case ast.Subscript(ast.Name(name), key) if isinstance(local.get(name), dict):
                local[name][self._value(key, local)] = value
            case _:
                _refuse(target, "what it assigns to")

    def _value(self, node: ast.expr, local: dict[str, Any]) -> Any:
        self._step()
        match node:
            case ast.Constant(value):
                return value
            case ast.Name(name) if name in local:
                return local[name]
            case ast.Name(name) if name in self.constants:
                return self.constants[name]
            case ast.List(parts) | ast.Tuple(parts):
                return [self._value(part, local) for part in parts]
            case ast.Dict(keys, values) if None not in keys:
                pairs = zip(keys, values, strict=True)
                return {self._value(key, local): self._value(value, local) for key, value in pairs if key}
            case ast.JoinedStr(parts):
                return "".join(str(self._value(part, local)) for part in parts)
            case ast.FormattedValue(value, -1, None):
                return str(self._value(value, local))
            case ast.BinOp(left, op, right) if type(op) in BINARY:
                return _bounded(BINARY[type(op)](self._value(left, local), self._value(right, local)))
            case ast.UnaryOp(ast.Not(), value):
                return not self._value(value, local)
            case ast.UnaryOp(ast.USub(), value):
                return -self._value(value, local)
            case ast.BoolOp(op, parts):
                found = self._value(parts[0], local)
                for part in parts[1:]:
                    if bool(found) is isinstance(op, ast.Or):
                        return found
                    found = self._value(part, local)
                return found
            case ast.Compare(left, [op], [right]) if type(op) in COMPARED:
                return COMPARED[type(op)](self._value(left, local), self._value(right, local))
            case ast.IfExp(test, then, other):
                return self._value(then if self._value(test, local) else other, local)
            case ast.Subscript(value, ast.Slice(lower, upper, None)):
                ends = [None if end is None else self._value(end, local) for end in (lower, upper)]
                return self._value(value, local)[slice(*ends)]
            case ast.Subscript(value, key):
                return self._value(value, local)[self._value(key, local)]
            case ast.ListComp(made, loops) | ast.GeneratorExp(made, loops):
                return [self._value(made, inner) for inner in self._loop(loops, local)]
            case ast.DictComp(key, value, loops):
                return {self._value(key, inner): self._value(value, inner) for inner in self._loop(loops, local)}
            case ast.Attribute() if (dotted := ast.unparse(node)) in CONSTANTS:
                return CONSTANTS[dotted]
            case ast.Attribute(ast.Name(name), attribute) if isinstance(local.get(name), Thing):
                return local[name][attribute]
            case ast.Call(function, args, keywords):
                return _bounded(self._called(function, args, keywords, local))
        return _refuse(node, ast.unparse(node))

    def _called(
        self, function: ast.expr, args: list[ast.expr], keywords: list[ast.keyword], local: dict[str, Any]
    ) -> Any:
        match function, args:
            case ast.Name("isinstance"), [value, ast.Name(kind)] if kind in KINDS:
                return isinstance(self._value(value, local), KINDS[kind])
        given = [self._value(arg, local) for arg in args]
        named = {word.arg: self._value(word.value, local) for word in keywords if word.arg}
        match function:
            case ast.Name(name) if name in self.functions:
                return self._call(self.functions[name], given, named)
            case ast.Attribute(value, method):
                if (dotted := ast.unparse(function)) in CALLS:
                    return CALLS[dotted](*given, **named)
                owner = self._value(value, local)
                if isinstance(owner, Thing):
                    return owner[f"{method}()"]
                known = METHODS.get(type(owner), frozenset())
                if method == "format" and re.search(r"\{[^{}]*[.\[:!]", owner):
                    _refuse(function, "what it formats")
                if method in known:
                    found = getattr(owner, method)(*given, **named)
                    return list(found) if isinstance(owner, dict) and method != "get" else found
            case ast.Name(name) if name in CALLS:
                return CALLS[name](*given, **named)
        return _refuse(function, ast.unparse(function))

    def _loop(self, loops: list[ast.comprehension], local: dict[str, Any]) -> Iterator[dict[str, Any]]:
        first, *rest = loops
        for one in self._value(first.iter, local):
            inner = dict(local)
            self._assign(first.target, one, inner)
            if all(self._value(test, inner) for test in first.ifs):
                yield from self._loop(rest, inner) if rest else [inner]

    def _step(self) -> None:
        self.steps += 1
        if self.steps > STEPS:
            raise FormulaError(f"it takes more than {STEPS:,} steps")


def _written_out(text: Any) -> Any:
    """What `eval` gives of a literal; of anything else it is refused."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, MemoryError) as error:
        raise FormulaError(f"eval of {text[:60]!r}") from error


def _constants(body: list[ast.stmt]) -> dict[str, Any]:
    """Names in a module or class that stand for what is written out."""
    found = {}
    for node in body:
        match node:
            case ast.Assign([ast.Name(name)], value):
                with suppress(ValueError):
                    found[name] = ast.literal_eval(value)
    return found


def _bounded(value: Any) -> Any:
    if isinstance(value, str | list | dict) and len(value) > LONGEST:
        raise FormulaError(f"a value of more than {LONGEST:,} characters or entries")
    return value


def _refuse(node: ast.AST, what: str) -> NoReturn:
    raise FormulaError(f"line {getattr(node, 'lineno', '?')}: {what[:80]} is no formula of texts")
