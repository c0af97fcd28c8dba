"""Groups of benchmarks, as Region-to-Image distillation tells them apart: what it teaches, and what lies beyond.

Each group has a macro average of its own. A source's `group` in params says otherwise.
"""

from r2i.core.params import BenchmarkKind

PERCEPTION, REASONING, DETECTION, OWN = "perception", "reasoning", "aigc detection", "own"
GROUPS: dict[BenchmarkKind, str] = {
    **dict.fromkeys(
        ("zoombench", "vstar", "hrbench", "mme_realworld", "cvbench", "countqa", "colorbench", "mmstar"), PERCEPTION
    ),
    **dict.fromkeys(("hallusionbench", "mathvision", "babyvision"), REASONING),
    "fakeclue": DETECTION,
}
"""The last two are out of the distribution that is trained on. Kinds that are not here: OWN."""
