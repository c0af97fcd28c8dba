"""Addresses of servers: facts of a machine, no params. Two labs with other addresses have the same dvc.lock.

An endpoint that params name (`endpoints`) is at `$R2I_SERVER_<NAME>`, else at what `servers.yaml` says, a file of lines
`name: http://host:8000/v1` that git ignores; else at its own base_url. The Ray cluster that trains is at the address of
the name CLUSTER, else this machine trains.
"""

import os
from pathlib import Path

import yaml

from r2i.core import paths
from r2i.core.errors import ParamsError
from r2i.core.yaml_text import read_yaml

SERVERS = Path("servers.yaml")
ADDRESSES = "R2I_SERVER_"
"""How the variables with addresses begin."""

CLUSTER = "ray-cluster"


def variable(name: str) -> str:
    """Of the environment, with the address of the endpoint `name`."""
    return f"{ADDRESSES}{name.upper().replace('-', '_')}"


def find_address(name: str) -> str | None:
    """None where nothing says it. Raises ParamsError where servers.yaml can't be read."""
    return os.environ.get(variable(name)) or read_servers().get(name)


def cluster_address() -> str | None:
    """Job server of a running Ray cluster, e.g. http://head:8265; None: this machine trains. Raises ParamsError as
    `find_address`."""
    return find_address(CLUSTER)


def read_servers() -> dict[str, str]:
    """What servers.yaml says; {} where there is none. Raises ParamsError where it doesn't map names to addresses."""
    path = paths.here_or_main(SERVERS)
    try:
        found = (read_yaml(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ParamsError(f"{path} can't be read ({error})", "write lines `name: http://host:8000/v1`") from error
    if not isinstance(found, dict) or not all(isinstance(part, str) for pair in found.items() for part in pair):
        raise ParamsError(f"{path} is no mapping of names to addresses", "write lines `name: http://host:8000/v1`")
    return found
