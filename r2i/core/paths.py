"""Where things lie, relative to the repository's root (DVC runs every stage there)."""

import os
from pathlib import Path

CODE = Path("data/code")  # <stage>.txt: what the stage depends on, by meaning
IMAGES = Path("data/sample/images")
TRUTH = Path("data/truth/things")  # rendered pools only; read by `audit` and nothing before it
REGIONS = Path("data/crop/regions")
QUESTIONS = Path("data/question/questions")
ANSWERS = Path("data/answer/answers")
VOTES = Path("data/vote/votes")
TRAIN = Path("data/overlay/train")
TRAIN_LOGS = Path("data/train")  # <run>.json, one line a step
BENCHMARK = Path("data/benchmark/items")
PREDICTIONS = Path("data/evaluate")  # <model>/ is a table
ATTENTION = Path("data/attention")  # <model>/ is a table
REVIEWED_QUESTIONS = Path("data/review/questions.jsonl")  # people's decisions, kept in git; read by `overlay`
REVIEWED_ITEMS = Path("data/review/items.jsonl")  # the same of benchmark items; read by `benchmark`
ACCEPTED = Path("data/accepted.jsonl")  # new code that was accepted for old outputs, kept in git (r2i.repo.accept)
BENCHMARKS = Path("data/benchmarks")  # <name>/ is a benchmark that `r2i benchmark build` made
REPORT = Path("data/report/report.html")
MODELS = Path("models")


def metrics(stage: str) -> Path:
    return Path("metrics") / f"{stage}.json"


def main_workspace() -> Path:
    """The repository that keeps state between runs: `dvc exp run --temp` runs elsewhere and names it in $DVC_ROOT, and
    of a git worktree it is the repository that it was added to."""
    return Path(os.environ.get("DVC_ROOT") or main_worktree() or ".")


def main_worktree() -> Path | None:
    """Where the current folder is the root of a git worktree: the folder of the repository that it belongs to. None
    elsewhere, and where that repository is a bare one."""
    pointer = Path(".git")
    try:
        if not pointer.is_file():
            return None
        place = Path(pointer.read_text(encoding="utf-8").removeprefix("gitdir:").strip())
        common = (place / (place / "commondir").read_text(encoding="utf-8").strip()).resolve()
    except (OSError, ValueError):  # a submodule has no such file
        return None
    return common.parent if common.name == ".git" and common.is_dir() else None


def here_or_main(path: Path) -> Path:
    """`path`, or the same in the main workspace where it is there alone: what users put beside the repository."""
    main = main_workspace() / path
    return main if not path.exists() and main.exists() else path


def state_folder() -> Path:
    """What no commit holds and all runs share: replies, logs, hashes, finished images, audits, the MLflow database."""
    return main_workspace() / ".r2i"


def reply_store() -> Path:
    """Live replies of models, which were paid for: `$R2I_STORE`, else in the state folder."""
    return Path(os.environ.get("R2I_STORE") or state_folder() / "store")


def reply_archive() -> Path:
    """Packed replies, which labs share through DVC: `$R2I_REPLIES`, else `replies/` of the main workspace; of a git
    worktree that has pulled them, its own."""
    own = here_or_main(Path("replies")) if "DVC_ROOT" not in os.environ else main_workspace() / "replies"
    return Path(os.environ.get("R2I_REPLIES") or own)


def pool_hashes() -> Path:
    """What the files of pools and benchmarks hold (r2i.importing.hash_cache)."""
    return state_folder() / "pools.sqlite"


def pool_listings() -> Path:
    """What pools and benchmarks held when they were pinned (r2i.importing.version)."""
    return state_folder() / "pools"


def training_state(fingerprint: str) -> Path:
    """What a training needs to go on after a kill."""
    return state_folder() / "train" / fingerprint


def server_logs() -> Path:
    """Output of the model servers that r2i starts."""
    return state_folder() / "logs"


def torn_lock() -> Path:
    """A dvc.lock that a kill cut off (r2i.repo.lock_repair)."""
    return state_folder() / "dvc.lock.torn"
