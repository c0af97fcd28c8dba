"""DVC as r2i starts it: a folder's listing that names a file elsewhere is no listing for it, whether it comes from a
remote, the cache or a merge."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

from r2i.repo.listing import fault_of_entries

ROOT = Path(__file__).absolute().parents[2]  # of this very code: a clone's own may be another
CODE = f"import sys; sys.path.insert(1, {str(ROOT)!r}); from r2i.repo.guarded_dvc import main; main()"
COMMAND = [sys.executable, "-c", CODE]
"""Before the words of a dvc command."""


def guard() -> None:
    """Let DVC in this process refuse such listings, which it then takes for missing ones, and hash what it fetches, as
    `verify = true` of a remote does. What is missing it counts: hashes alone tell nobody what."""
    from dvc_data.hashfile.tree import Tree
    from dvc_data.index import fetch, push
    from dvc_objects.errors import ObjectFormatError

    if getattr(Tree.from_list, "guarded", False):
        return
    plain: Any = Tree.from_list.__func__  # type: ignore[attr-defined]

    def from_list(cls: type[Tree], entries: Any, hash_name: str | None = None) -> Tree:
        if fault := fault_of_entries(entries):
            raise ObjectFormatError(f"a listing {fault}")
        return plain(cls, entries, hash_name)  # type: ignore[no-any-return]

    fetch.transfer = partial(_transfer_verified, fetch.transfer)  # type: ignore[attr-defined]
    fetch._log_missing = push._log_missing = _count_missing  # type: ignore[attr-defined]
    from_list.guarded = True  # type: ignore[attr-defined]
    Tree.from_list = classmethod(from_list)  # type: ignore[assignment,method-assign,arg-type]


def _transfer_verified(transfer: Any, *args: Any, **kwargs: Any) -> Any:
    return transfer(*args, **(kwargs | {"verify": True}))


def _count_missing(status: Any) -> None:
    if status.missing:
        print(f"{len(status.missing)} files are neither here nor on the remote", file=sys.stderr)


def main() -> None:
    from dvc.cli import main

    guard()
    sys.exit(main(sys.argv[1:]))
