"""Training curves as one picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

COLUMNS = 3


def draw_curves(lines: Sequence[Mapping[str, float]], title: str, path: Path) -> None:
    """Write a PNG with a small plot for each number of a training, over its steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    keys = [key for key in lines[0] if key != "step"]
    rows = -(-len(keys) // COLUMNS)
    figure = Figure(figsize=(4 * COLUMNS, 2.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    for place, key in enumerate(keys):
        axes = figure.add_subplot(rows, COLUMNS, place + 1)
        shown = [(line.get("step", i), line[key]) for i, line in enumerate(lines) if key in line]
        axes.plot(*zip(*shown, strict=True), linewidth=1.2, marker="." if len(shown) < 20 else "")
        axes.set_title(key, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)
