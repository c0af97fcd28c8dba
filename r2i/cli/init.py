"""`r2i init`: a profile for one's own photographs and model."""

from pathlib import Path
from typing import Annotated

import typer

from r2i.core.stage import explained


def init(
    name: Annotated[str, typer.Argument(help="Of the profile, and of the model that is measured.")],
    photos: Annotated[str, typer.Option(help="Folder of photographs.")] = "data/pools/photos",
    model: Annotated[str, typer.Option(help="The server's name for your model.")] = "my-model",
    benchmark: Annotated[str | None, typer.Option(help="Table of questions; without it nothing is measured.")] = None,
    params: Path = Path("params.yaml"),
) -> None:
    """Write a profile with comments into params.yaml and choose it: your photographs, your model behind a server."""
    from r2i.tools.init import next_steps, write_profile

    with explained():
        written = write_profile(params, name, photos, model, benchmark)
        print(f"{params}: profile {name} is written and chosen; edit it as you like, then:")
        for line in [*next_steps(written), "dvc repro   # after `source .venv/bin/activate`"]:
            print(f"  {line}")
