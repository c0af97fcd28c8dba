"""`r2i replies`: the replies that were paid for - share, count, show, check, throw out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from r2i.core import paths
from r2i.core.errors import R2IError
from r2i.core.stage import explained

if TYPE_CHECKING:
    from r2i.endpoint.archive import Archive
    from r2i.endpoint.store import Store

app = typer.Typer(name="replies", no_args_is_help=True, help=__doc__)

StorePath = Annotated[
    Path | None, typer.Option("--store", help="The live store. [default: $R2I_STORE, else .r2i/store]")
]
ArchivePath = Annotated[
    Path | None, typer.Option("--archive", help="The shared archive. [default: $R2I_REPLIES, else replies]")
]


@app.command()
def pack(store: StorePath = None, archive: ArchivePath = None) -> None:
    """Write what the archive lacks of the live store into new segments. Live records stay until `gc`."""
    from r2i.tools.replies.pack import pack
    from r2i.tools.replies.text import packed_text

    with _open(store, archive) as (live, shared):
        done = pack(live, shared)
        print(f"{packed_text(done)} ({live.root} -> {shared.folder})")
        if done.segments:
            name = shared.folder.name
            print(f"share: dvc add {name} && dvc push; then commit {name}.dvc")


@app.command()
def stats(store: StorePath = None, archive: ArchivePath = None) -> None:
    """Count records, samples by what became of them, tokens and bytes by model; and what all runs have paid."""
    from r2i.endpoint.ledger import CALL_LOG
    from r2i.tools.replies.scan import scan_archive, scan_store
    from r2i.tools.replies.stats import count_replies, read_call_log
    from r2i.tools.replies.text import many, print_table, spent_text, stats_table

    with _open(store, archive) as (live, shared):
        places = {f"live store {live.root}": scan_store(live), f"archive {shared.folder}": scan_archive(shared.folder)}
        for place, items in places.items():
            models, damaged = count_replies(items)
            print(place if models else f"{place}: no replies")
            print_table(stats_table(models))
            if damaged:
                print(f"{many(damaged, 'damaged record')}: see `r2i replies verify`")
        call_log = live.root.parent / CALL_LOG
        spent = read_call_log(call_log)
        print(f"paid by all runs ({call_log})" if spent else f"{call_log}: no run yet")
        for (stage, model), sums in spent.items():
            print(spent_text(stage, model, sums))


@app.command()
def show(
    key: Annotated[str, typer.Argument(help="A key, at least 8 digits of it, or a row's reply_key: <key>/<sample>.")],
    store: StorePath = None,
    archive: ArchivePath = None,
) -> None:
    """Print one request, its replies, and where they are."""
    from r2i.tools.replies.show import describe, find_request

    with _open(store, archive) as (live, shared):
        stored, sample = find_request(live, shared, key)
        print(describe(stored, sample))


@app.command()
def verify(
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove damaged live records: a stage asks for them again.")
    ] = False,
    store: StorePath = None,
    archive: ArchivePath = None,
) -> None:
    """Hash every record and segment again; name each that is torn, truncated, altered or misnamed."""
    from r2i.tools.replies.text import fault_remedy, fault_text, integrity_text, many
    from r2i.tools.replies.verify import remove_damaged, verify

    with _open(store, archive) as (live, shared):
        report = verify(live, shared.folder)
        for fault in report.faults:
            print(fault_text(fault))
        left = remove_damaged(live, report.faults) if remove else report.faults
        if len(left) < len(report.faults):
            print(f"removed {many(len(report.faults) - len(left), 'damaged live record')}")
        if left:
            raise R2IError(f"{many(len(left), 'fault')}; {integrity_text(report)}", fault_remedy(left))
        print(integrity_text(report))


@app.command()
def gc(
    reason: Annotated[list[str] | None, typer.Option(help="Also throw out live samples that failed so.")] = None,
    take_shared: Annotated[
        bool, typer.Option("--take-shared", help="Also throw out live replies that others shared with another text.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    store: StorePath = None,
    archive: ArchivePath = None,
) -> None:
    """Remove from the live store what the archive holds, samples of a `--reason`, and old part files."""
    from r2i.endpoint.record import STORED_FAILURES
    from r2i.tools.replies.gc import collect
    from r2i.tools.replies.text import freed_text

    with _open(store, archive) as (live, shared):
        if unknown := sorted(set(reason or ()) - STORED_FAILURES):
            raise R2IError(
                f"no sample is stored for the reason {unknown[0]!r}", f"one of: {', '.join(sorted(STORED_FAILURES))}"
            )
        print(freed_text(collect(live, shared.folder, reason or (), dry_run, take_shared), dry_run))


@contextmanager
def _open(store: Path | None, archive: Path | None) -> "Iterator[tuple[Store, Archive]]":
    """The store and the archive; errors are told as cause and remedy, exit code 1."""
    from r2i.endpoint.archive import open_archive
    from r2i.endpoint.store import Store

    with explained():
        folder = archive or paths.reply_archive()
        live = Store(store or paths.reply_store(), folder)
        try:
            yield live, open_archive(folder)
        except OSError as error:
            raise R2IError(str(error), f"see who may read and write {live.root} and {folder}") from error
