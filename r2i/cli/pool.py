"""`r2i pool`: which files a pool holds, and which ones params.yaml says that it must hold."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from r2i.core import paths
from r2i.core.stage import explained

app = typer.Typer(help=__doc__, no_args_is_help=True)


@app.callback()
def _root() -> None:
    """Which files a pool holds, and which ones params.yaml says that it must hold."""


@app.command()
def version(
    names: Annotated[
        list[str] | None, typer.Argument(help="Pools of the chosen profile; all that are files unless told.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Put it into params.yaml; `sample` runs again then.")] = False,
    params: Path = Path("params.yaml"),
) -> None:
    """Print the version of a pool: a digest of its images' places, sizes and contents. Unchanged files aren't read."""
    from r2i.core.errors import R2IError
    from r2i.core.params import load_params
    from r2i.importing.hash_cache import HashCache
    from r2i.importing.pin import pin_version
    from r2i.importing.version import tell_version
    from r2i.sample.pools import list_offers
    from r2i.sample.version import list_pool, pinned_pool

    with explained(), HashCache(paths.pool_hashes()) as known:
        loaded = load_params(params)
        pools = {pool.name: pool for pool in loaded.chosen.sample.pools if pool.kind != "rendered"}
        if unknown := set(names or ()) - pools.keys():
            raise R2IError(f"no pool of files {min(unknown)!r}", f"there are: {', '.join(pools) or 'none'}")
        for name in names or pools:
            found, part = list_pool(list_offers(pools[name], loaded.seed, known)), pinned_pool(pools[name])
            print(tell_version(part, found, partial(pin_version, params, loaded.profile, part) if write else None))
        if not pools:
            print(f"profile {loaded.profile} has no pool of files: rendered pools need no version")
