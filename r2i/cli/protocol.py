"""`r2i protocol`: how benchmarks are asked: read what others send where it lies, show what is sent."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from r2i.core.stage import explained

app = typer.Typer(name="protocol", no_args_is_help=True, help=__doc__)
console = Console(soft_wrap=True, highlight=False, markup=False)


class From(StrEnum):
    zwz = "zwz"
    lmms = "lmms-eval"
    vlmevalkit = "vlmevalkit"


ROOT = Path(__file__).parents[2]
OWN = (
    ("core", "choose"), ("evaluate", "open"), ("core", "boxed"), ("core", "told"), ("evaluate", "look"),
    ("evaluate", "zoomed"), ("evaluate", "tool"), ("evaluate", "tool_result"), ("evaluate", "tool_fault"),
    ("evaluate", "tool_last"),
)  # fmt: skip
"""Room and name of the prompts that our own protocol sends."""
NAMES = {From.zwz: "zwz", From.lmms: "official", From.vlmevalkit: "vlmevalkit"}


@app.command("import")
def import_protocol(
    place: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="zwz: a clone of the reference. lmms-eval: the folder lmms_eval/tasks where it is installed, or one "
            "task's. vlmevalkit: a clone, or where it is installed.",
        ),
    ],
    source: Annotated[From, typer.Option("--from", help="Whose it is.")],
    name: Annotated[str | None, typer.Option(help="Of the protocol; zwz, official or vlmevalkit unless told.")] = None,
) -> None:
    """Read a protocol, without running any of its code, into protocols/<name>.yaml, which git ignores."""
    from r2i.core.params import find_protocol
    from r2i.evaluate.foreign import import_lmms, import_vlmevalkit, import_zwz
    from r2i.evaluate.protocol import write_protocol

    read = {From.zwz: import_zwz, From.lmms: import_lmms, From.vlmevalkit: import_vlmevalkit}[source]
    with explained():
        protocol = read(place, name or NAMES[source])
        path = find_protocol(protocol.name)
        write_protocol(path, protocol)
    files = protocol.origin.files if protocol.origin else {}
    console.print(f"{path}: {', '.join(protocol.wordings)}, read from {len(files)} files")
    console.print(f"  dvc exp run -S '+profiles.<profile>.evaluate.protocol={protocol.name}'")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="r2i, the name of an imported one, or a file.")] = "r2i",
    style: Annotated[str, typer.Option(help="r2i: of the prompts, as evaluate.prompts.")] = "paper",
) -> None:
    """Print every text and setting of a protocol."""
    import yaml

    from r2i.core.params import OWN_PROTOCOL, find_protocol
    from r2i.core.prompts import has_prompt
    from r2i.evaluate.protocol import read_protocol

    with explained():
        if name == OWN_PROTOCOL:
            for room, file in OWN:
                if has_prompt(room, file, style):
                    path = Path("r2i") / room / "prompts" / style / f"{file}.txt"
                    console.print(f"{path}\n{(ROOT / path).read_text(encoding='utf-8').strip()}\n")
            return
        path = find_protocol(name)
        protocol = read_protocol(path)
        console.print(f"{path} ({protocol.kind})")
        console.print(yaml.safe_dump(protocol.model_dump(mode="json", exclude_defaults=True), sort_keys=False))
