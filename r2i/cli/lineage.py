"""`r2i lineage` and `r2i verify`: where a row came from; integrity checks of all that a run left."""

import json
from typing import Annotated

import typer

from r2i.core.errors import R2IError
from r2i.core.stage import explained

app = typer.Typer()


@app.command()
def lineage(
    name: Annotated[str, typer.Argument(metavar="ID", help="Of a train row, question, answer, region, image or item.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Walk a row back: image, region, every model call with its prompt and reply, votes, code revision."""
    from r2i.tools.lineage.text import story_text
    from r2i.tools.lineage.walk import trace

    with explained():
        story = trace(name)
    print(json.dumps(story, indent=2, sort_keys=True, default=str) if as_json else story_text(story))


@app.command()
def verify(
    cache: Annotated[bool, typer.Option("--cache", help="Hash the objects of DVC's cache too.")] = False,
) -> None:
    """Hash all that dvc.lock, the *.dvc files, the archive and the store name, and check the tables' ids and counts."""
    from r2i.tools.verify.run import verify_all
    from r2i.tools.verify.text import finding_text, summary_text

    with explained():
        verdict = verify_all(cache)
        for finding in verdict.findings:
            print(finding_text(finding))
        if verdict.faults:
            raise R2IError(summary_text(verdict), verdict.remedy)
        print(summary_text(verdict))
