"""The claims of a study, as `studies/claims.yaml` declares them: what is said, what is compared, what would show it."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from r2i.core.errors import ParamsError
from r2i.core.ids import make_id
from r2i.core.names import ViewName
from r2i.core.params import ModelName, Params, Section
from r2i.core.yaml_text import read_yaml

CLAIMS = Path("studies/claims.yaml")
Measure = Literal["accuracy", "coverage", "tokens", "forwards"]
"""Of one model in one view, item by item: right or not; share of its attention inside the box; tokens read and written;
images that its vision tower read."""
ExperimentName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
ClaimName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]


class Cell(Section):
    """What one side of a comparison is measured on."""

    experiment: ExperimentName = "default"
    model: ModelName = "distilled"
    view: ViewName = "full"
    source: str = "rendered"
    """Of the benchmark, by its name."""
    dimensions: tuple[str, ...] = ()
    """Empty: all."""


class Pair(Section):
    """Two cells whose difference (or ratio) is measured on the items that both have. `as_`: in a few words."""

    as_: str = Field(default="", alias="as")
    this: Cell = Cell()
    that: Cell = Cell()


class Claim(Pair):
    """One claim. It holds where the 95 % interval lies `above` (or `below`) its bound, fails where it lies on the other
    side of `fails_at`, and can't be told else."""

    says: str
    paper: str
    """The figure that it is known by, with where it stands."""
    test: str
    """What is compared here, in words."""
    measure: Measure = "accuracy"
    ratio: bool = False
    """`this` over `that` instead of `this` minus `that`."""
    above: float | None = None
    """Share of 1: 0.02 is two points."""
    below: float | None = None
    fails_at: float | None = None
    """null: the bound itself. Above it where the claim says `above`: an effect that small would be of no use."""
    also: tuple[Pair, ...] = ()
    """Further comparisons of the same measure, shown below the one that decides."""

    @model_validator(mode="after")
    def _has_one_bound(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("a claim has one bound: above or below")
        return self

    @property
    def pairs(self) -> list[Pair]:
        """The one that decides first."""
        return [self, *self.also]


class Study(Section):
    """Overrides are keys of the profile, as in params.yaml: `vote.min_agreement: 4`."""

    profile: str
    seeds: Annotated[int, Field(ge=1)] = 3
    """0, 1, ...: each draws images, samples, trainings and the benchmark anew."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Of every experiment."""
    experiments: dict[ExperimentName, dict[str, Any]]
    """What each changes on top of that."""
    claims: dict[ClaimName, Claim]

    @model_validator(mode="after")
    def _claims_name_experiments(self) -> Self:
        for name, claim in self.claims.items():
            for cell in cells_of(claim):
                if cell.experiment not in self.experiments:
                    known = ", ".join(self.experiments)
                    raise ValueError(f"claims.{name}: no experiment {cell.experiment!r}; there are: {known}")
        return self

    def models(self, experiment: str, evaluated: Mapping[str, Any]) -> list[str]:
        """Those of `evaluated` that any claim looks at in the experiment, in the registry's order."""
        cells = [cell for claim in self.claims.values() for cell in cells_of(claim)]
        wanted = {cell.model for cell in cells if cell.experiment == experiment}
        return [model for model in evaluated if model in wanted]

    def name(self, experiment: str, seed: int) -> str:
        """Of the DVC experiment: another one where what it runs with is another."""
        overrides = {**self.settings, **self.experiments[experiment]}
        text = yaml.safe_dump({"profile": self.profile, "overrides": overrides}, sort_keys=True)
        return f"study-{experiment}-s{seed}-{make_id(text)[:8]}"

    def overrides(self, experiment: str, seed: int) -> list[str]:
        """As `dvc exp run -S` takes them."""
        changed = {**self.settings, **self.experiments[experiment]}
        written = [f"++profiles.{self.profile}.{key}={as_override(value)}" for key, value in changed.items()]
        return [f"profile={self.profile}", f"seed={seed}", *written]


def cells_of(claim: Claim) -> Iterator[Cell]:
    for pair in claim.pairs:
        yield pair.this
        yield pair.that


def as_override(value: Any) -> str:
    """A value in the grammar of `-S` (Hydra's): JSON, but that keys have no quotes."""
    match value:
        case dict():
            return "{" + ",".join(f"{key}:{as_override(one)}" for key, one in value.items()) + "}"
        case list():
            return "[" + ",".join(map(as_override, value)) + "]"
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case str():
            return "'" + re.sub(r"(\\*)'", r"\1\1\'", re.sub(r"\\+$", r"\g<0>\g<0>", value)) + "'"
    return str(value)


def load_study(path: Path, params: Params) -> Study:
    """Raises ParamsError, with the place of every fault, and where params have no such profile."""
    try:
        study = Study.model_validate(read_yaml(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ParamsError(f"no {path}", "docs/study.md says what stands there; --claims names another file") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ParamsError(f"{path} can't be read: {error}", "correct it; `git diff` shows what changed") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors())
        raise ParamsError(f"{path}: {faults}", "see r2i/tools/study/claims.py for what each key means") from error
    if study.profile not in params.profiles:
        raise ParamsError(f"{path}: no profile {study.profile!r}", f"there are: {', '.join(params.profiles)}")
    return study
