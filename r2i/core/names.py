"""Names that the whole pipeline shares: views, objectives, and the models that params register."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

ViewName = Literal["full", "crop", "boxed", "zoom", "told", "recut", "removed", "blind"]
TrainView = Literal["boxed", "full", "crop", "told"]
TeacherView = Literal["crop", "full"]
ObjectiveName = Literal["dapo", "sft", "opd", "dapo_attention"]


@dataclass(frozen=True)
class View:
    """A way to show an image. `column`: of a benchmark item, what is shown, or what the picture is made of when it is
    asked (zoom: first; blind: nothing is); `title`: for readers; `needs_box`: an item without a box lacks it."""

    column: str
    title: str
    needs_box: bool = False


VIEWS: dict[ViewName, View] = {
    "full": View("image", "Full view"),
    "crop": View("crop", "Crop view"),
    "boxed": View("boxed", "Full view, box drawn"),
    "zoom": View("image", "Zoom view"),
    "told": View("image", "Full view, box in words", needs_box=True),
    "recut": View("image", "Crop view, one scale", needs_box=True),
    "removed": View("image", "Full view, region painted over", needs_box=True),
    "blind": View("image", "No picture"),
}
"""In the order in which they are shown. The first two make the zooming gap; the last four say what it is made of."""
TRAIN_VIEWS: tuple[TrainView, ...] = get_args(TrainView)
"""Those that a row of training can have, in the order of a question's rows; `told`: the full image, its box written
into the prompt."""


@dataclass(frozen=True)
class Objective:
    """What a run of `train` optimises. `folder`: that the run writes, below models/; `curve`: what its plot shows."""

    folder: str
    curve: str
    title: str
    about: str


OBJECTIVES: dict[ObjectiveName, Objective] = {
    "dapo": Objective("distilled", "accuracy", "DAPO", "A student taught by reinforcement learning (DAPO)"),
    "sft": Objective("sft", "loss", "SFT, the control", "The control: supervised fine-tuning"),
    "opd": Objective("opd", "agreement", "OPD", "A student taught by itself, shown the crop (on-policy distillation)"),
    "dapo_attention": Objective(
        "dapo_attention", "accuracy", "DAPO and attention", "DAPO that also rewards looking at the box"
    ),
}

BASE = "base"
"""`from: base` in the registry of models: the base of the chosen profile, `train.base`."""
SERVER = "server"
"""`from: server`: a model that is asked through the endpoint of its name in `evaluate.endpoints` alone."""
RESERVED = frozenset(
    "views gap gaps full_gain crop_change by_dimension by_source corrected power chance items images clusters failed "
    "unscored rules pass_at_k sampled cost coverage contamination seeds zoom_over_full change closed_share n se ci95 "
    "ci95_clustered p_clustered left_out focus_base focus_distilled split guessing recut by_magnification macro "
    "curve inclusive protocol judge".split()
)
"""Keys that stand beside names of models in metrics/evaluate.json: no model has such a name."""


@dataclass(frozen=True)
class ModelNames:
    """The models that are evaluated, in the order of params: any number of them, none included.

    The first is the base, which all others are compared with; the second is the one that headlines are about.
    `titles`: by name, for readers; `runs`: of `train`, the model that each gives ("" where that is not evaluated).
    """

    titles: Mapping[str, str]
    runs: Mapping[str, str]

    def __iter__(self) -> Iterator[str]:
        return iter(self.titles)

    def __len__(self) -> int:
        return len(self.titles)

    @property
    def leading(self) -> tuple[str, ...]:
        """The models that headlines show: the base and the one compared with it, as far as there are such."""
        return tuple(self.titles)[:2]

    @property
    def base(self) -> str | None:
        return next(iter(self.titles), None)

    @property
    def compared(self) -> str | None:
        """None where fewer than two models are evaluated."""
        return self.leading[1] if len(self) > 1 else None

    @property
    def headline(self) -> str | None:
        """Whose numbers stand for the run where one model is meant: the compared one, else the only one."""
        return self.leading[-1] if self.titles else None

    @property
    def trained(self) -> bool:
        """Whether the compared model is what a run of `train` gave: the comparison then tells what training did."""
        return self.compared is not None and self.compared in self.runs.values()

    def role(self, model: str) -> Literal["base", "compared", "other"]:
        """What a model is in a comparison: its colour in pages."""
        return "base" if model == self.base else "compared" if model == self.compared else "other"
