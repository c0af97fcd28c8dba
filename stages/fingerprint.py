"""Code and params -> one small file a stage: what it depends on, by meaning (r2i/core/fingerprint.py)."""

from pathlib import Path

from r2i.core import paths
from r2i.core.disk import new_folder
from r2i.core.fingerprint import code_files
from r2i.core.params import load_params
from r2i.core.stage import run_stage


def main(params: Path = Path("params.yaml")) -> None:
    """Write data/code/<stage>.txt for each stage of the pipeline."""
    files = code_files(load_params(params))
    with new_folder(paths.CODE) as part:
        for name, text in files.items():
            (part / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run_stage(main)
