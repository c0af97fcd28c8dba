"""`r2i pool`: which files a pool holds, and which ones params.yaml says that it must hold."""

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
    from r2i.sample.hash_cache import HashCache
    from r2i.sample.pin import pin_version
    from r2i.sample.pools import list_offers
    from r2i.sample.version import describe_change, keep_listing, list_pool

    with explained(), HashCache(paths.pool_hashes()) as known:
        loaded = load_params(params)
        pools = {pool.name: pool for pool in loaded.chosen.sample.pools if pool.kind != "rendered"}
        if unknown := set(names or ()) - pools.keys():
            raise R2IError(f"no pool of files {min(unknown)!r}", f"there are: {', '.join(pools) or 'none'}")
        for name in names or pools:
            found = list_pool(list_offers(pools[name], loaded.seed, known))
            pinned = pools[name].version
            if pinned is None:
                state = "not pinned"
            else:
                state = "as pinned" if pinned == found.version else f"pinned: {describe_change(pinned, found)}"
            if write and pinned != found.version:
                pin_version(params, loaded.profile, name, found.version)
                state += "; written"
            if write or pinned is None:
                keep_listing(found)
            print(f"{name}: {found.version} ({state})")
        if not pools:
            print(f"profile {loaded.profile} has no pool of files: rendered pools need no version")
