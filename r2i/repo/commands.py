"""DVC as the command that a person would type, and the remote that is configured here."""

import subprocess
import sys

from r2i.core.errors import R2IError

HOW_TO_SET = "`dvc remote add --local --default shared ssh://host/path` (docs/labs.md: S3, SSH, WebDAV, a folder)"


def run_dvc(*command: str) -> None:
    """Run a dvc command; it prints for itself. Raises R2IError where it fails."""
    done = subprocess.run([sys.executable, "-m", "dvc", *command], check=False)
    if done.returncode:
        raise R2IError(
            f"`dvc {' '.join(command)}` ended with exit code {done.returncode}",
            "see its message above; run again: what was moved already is not moved twice",
        )


def ask_dvc(*command: str) -> "subprocess.CompletedProcess[str]":
    """A dvc command that prints nothing here."""
    return subprocess.run([sys.executable, "-m", "dvc", *command], capture_output=True, text=True, check=False)


def require_remote() -> str:
    """The name of the default remote. Raises R2IError where there is none, or it has no address."""
    from dvc.config import Config, ConfigError

    try:
        config = Config.from_cwd()
        name = config["core"].get("remote")
        known = config["remote"].get(name, {}) if name else {}
    except ConfigError as error:
        raise R2IError(f"DVC's config can't be read: {error}", "see .dvc/config and .dvc/config.local") from error
    if not name:
        raise R2IError("no remote to share through", HOW_TO_SET)
    if not known.get("url"):
        raise R2IError(f"the remote {name!r} has no address here", HOW_TO_SET.replace("shared", name))
    return str(name)
