"""Is everything here what dvc.lock and the tables themselves say that it is?"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["missing", "differs", "extra", "code", "lock", "params", "cache", "replies", "table", "metrics", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be; a `note` is told and is no fault. `where`: a path, a table or a stage."""

    kind: Kind
    where: str
    why: str
