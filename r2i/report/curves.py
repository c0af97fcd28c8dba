"""Training curves as small SVGs, and as the table behind them."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from r2i.report.charts import percent

WIDTH, HEIGHT = 300.0, 96.0  # of a curve's view box; it is stretched to its place
POINTS = 400  # of a path
CURVES = {  # key of a training step -> (title, whether it is a share of 1)
    "reward": ("Reward", False),
    "accuracy": ("Accuracy of rollouts", True),
    "token_accuracy": ("Accuracy of tokens", True),
    "format": ("Closed answer span", True),
    "kept_groups": ("Groups with mixed rewards", True),
    "response_length": ("Reply length, tokens", False),
    "truncated": ("Replies cut by length", True),
    "clip_ratio": ("Clipped tokens", True),
    "entropy": ("Entropy, nats", False),
    "teacher_entropy": ("Entropy of the teacher, nats", False),
    "agreement": ("Tokens on which student and teacher agree", True),
    "attention": ("Attention to the image that goes to the box", True),
    "loss": ("Loss", False),
}


def curve(steps: Sequence[Mapping[str, Any]], key: str, role: str) -> dict[str, Any] | None:
    """One quantity over training steps: raw values faint, their running mean strong.

    None where fewer than two steps carry a number under `key`.
    """
    pairs = [(float(s.get("step", i)), float(s[key])) for i, s in enumerate(steps) if _is_number(s.get(key))]
    if len(pairs) < 2:
        return None
    xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
    mean = _smooth(ys)
    first, last = ys[0], mean[-1]
    xs, ys, mean = (_thin(line) for line in (xs, ys, mean))
    low, high = min(ys), max(ys)
    title, is_share = CURVES[key]
    if is_share:
        low, high = 0.0, 1.0 if high > 0.5 else max(1.25 * high, 1e-3)
    show = percent if is_share else _plain
    return {
        "title": title,
        "first": show(first),
        "last": show(last),
        "low": show(low),
        "high": show(high),
        "steps": f"{pairs[0][0]:g} to {pairs[-1][0]:g}",
        "svg": Markup(
            f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" role="img" '
            f'aria-label="{title}, from {show(first)} to {show(last)}">'
            f'<path class="raw {role}" d="{_path(xs, ys, low, high)}"/>'
            f'<path class="mean {role}" d="{_path(xs, mean, low, high)}"/></svg>'
        ),  # titles and roles are constants of this code: nothing from a row gets here unescaped
    }


def curve_table(steps: Sequence[Mapping[str, Any]], lines: int = 12) -> tuple[list[str], list[list[str]]]:
    """What the curves show as numbers: (head, lines), a few steps from first to last."""
    keys = [key for key in CURVES if any(_is_number(step.get(key)) for step in steps)]
    many = min(lines, len(steps))
    places = sorted({round(n * (len(steps) - 1) / max(1, many - 1)) for n in range(many)})
    head = ["Step", *(CURVES[key][0] for key in keys)]
    return head, [[str(steps[n].get("step", n)), *(_cell(steps[n].get(key), key) for key in keys)] for n in places]


def _cell(value: object, key: str) -> str:
    if not isinstance(value, int | float) or not _is_number(value):
        return "–"
    return percent(value) if CURVES[key][1] else _plain(value)


def _thin(line: list[float]) -> list[float]:
    """At most POINTS values: means of neighbours, where there are more."""
    wide = -(-len(line) // POINTS)
    return [sum(part) / len(part) for start in range(0, len(line), wide) if (part := line[start : start + wide])]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and value == value and abs(value) != float("inf")


def _plain(value: float) -> str:
    return f"{value:.3g}"


def _smooth(ys: Sequence[float]) -> list[float]:
    """The mean of a window that looks back over a tenth of the steps."""
    window = max(1, len(ys) // 10)
    return [sum(ys[max(0, i - window + 1) : i + 1]) / (i + 1 - max(0, i - window + 1)) for i in range(len(ys))]


def _path(xs: Sequence[float], ys: Sequence[float], low: float, high: float) -> str:
    width, height = (xs[-1] - xs[0]) or 1.0, (high - low) or 1.0
    at = [
        f"{(x - xs[0]) / width * WIDTH:.1f} {HEIGHT - 4 - (y - low) / height * (HEIGHT - 8):.1f}"
        for x, y in zip(xs, ys, strict=True)
    ]
    return "M" + "L".join(at)
