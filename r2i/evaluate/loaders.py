"""What a loader of VLMEvalKit writes into its table for a made record, read from its syntax tree: none of it is run."""

import ast
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from r2i.evaluate.formula import FormulaError, Module

Record = dict[str, Any]


class Write(NamedTuple):
    """A place that writes a column. `before`: statements that were run by then, the outermost first; `tests`: that
    were true; `each`: the name of the record that the loop around it is at, empty outside of loops."""

    value: ast.expr
    before: tuple[ast.stmt, ...]
    tests: tuple[ast.expr, ...]
    each: str


def load_record(code: Module, owner: str, dataset: str, record: Record) -> Record:
    """The line of the table of `dataset` that the class `owner` makes of a record.

    What its `load_data` says nothing of stays as it is. Raises FormulaError where that leaves a list, which no table
    holds, or where what is written can't be read.
    """
    loader = code.functions.get(f"{owner}.load_data")
    line = dict(record)
    if loader:
        for column in record:
            line |= _column(code, loader, column, dataset, record)
    if lists := [column for column, value in line.items() if isinstance(value, list)]:
        raise FormulaError(f"{owner}.load_data doesn't say what the column {lists[0]!r} holds")
    return line


def _column(code: Module, loader: ast.FunctionDef, column: str, dataset: str, record: Record) -> Record:
    """The column as it is written for this data set; {} where it is not. A data set with a branch of its own takes
    that. A record's lists may be lists, or texts of them."""
    known = [arg.arg for arg in loader.args.args][1:2]  # after self
    cells = record | {name: str(value) for name, value in record.items() if isinstance(value, list)}
    found: list[tuple[int, Write]] = []
    for write in _writes(loader.body, column):
        if all(code.apply(_function(test, write.before, known), dataset) for test in write.tests):
            found.append((len(write.tests), write))
    if not found:
        return {}
    most = max(count for count, _ in found)
    values = []
    for write in (write for count, write in found if count == most):
        function = _function(write.value, write.before, [*known, write.each])
        try:
            values.append(code.apply(function, dataset, record))
        except FormulaError:
            values.append(code.apply(function, dataset, cells))
    if any(value != values[0] for value in values):
        raise FormulaError(f"load_data writes the column {column!r} in several ways")
    return {column: values[0]}


def _writes(
    body: Sequence[ast.stmt],
    column: str,
    before: tuple[ast.stmt, ...] = (),
    tests: tuple[ast.expr, ...] = (),
    each: str = "",
) -> Iterator[Write]:
    """Where a loader writes a column: as an entry of a dict, or as a column of a frame."""
    for node in body:
        match node:
            case ast.FunctionDef(body=inner) | ast.With(body=inner):
                yield from _writes(inner, column, before, tests, each)
            case ast.If(test, then, other):
                yield from _writes(then, column, before, (*tests, test), each)
                yield from _writes(other, column, before, (*tests, ast.UnaryOp(ast.Not(), test)), each)
            case ast.For(target, _, inner, _):
                names = [name.id for name in ast.walk(target) if isinstance(name, ast.Name)]
                yield from _writes(inner, column, before, tests, names[-1] if names else "")
            case ast.Assign([ast.Subscript(_, key)], value) if _last(key) == column:
                yield Write(value, before, tests, each)
            case _:
                for found in ast.walk(node):
                    if isinstance(found, ast.Dict):
                        pairs = zip(found.keys, found.values, strict=True)
                        yield from (Write(value, before, tests, each) for key, value in pairs if _last(key) == column)
        before = (*before, node)


def _last(key: ast.expr | None) -> Any:
    """The text of a key, or of the last of several."""
    match key:
        case ast.Constant(value):
            return value
        case ast.Tuple([*_, ast.Constant(value)]):
            return value
    return None


def _function(value: ast.expr, before: Sequence[ast.stmt], known: Sequence[str]) -> ast.FunctionDef:
    """A function of `known` that returns `value`, with the statements that it needs."""
    needed = _names(value)
    body: list[ast.stmt] = [ast.Return(value)]
    for node in reversed(before):
        if isinstance(node, ast.FunctionDef):
            continue
        if (_names(node, ast.Store) | _called_on(node)) & (needed - set(known)):
            needed |= _names(node)
            body.insert(0, node)
    arguments = ast.arguments([], [ast.arg(name) for name in known if name], None, [], [], None, [])
    return ast.FunctionDef("load_data", arguments, body, [])


def _names(node: ast.AST, kind: type[ast.expr_context] = ast.Load) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, kind)}


def _called_on(node: ast.stmt) -> set[str]:
    """Names whose methods a statement calls for what these do to them."""
    match node:
        case ast.Expr(ast.Call(ast.Attribute(ast.Name(name)))):
            return {name}
    return set()
