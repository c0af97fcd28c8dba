"""How tables are cut changes no row, and neither does the truth: the smoke profile in many shards and without what its
scenes show, beside the same in one."""

import shutil
from pathlib import Path

import pytest

from r2i.core.catalogue import PIPELINE
from r2i.core.tables import Row, read_table
from stages import answer, crop, overlay, question, sample, vote

ROOT = Path(__file__).parents[2]
STAGES = (sample, crop, question, answer, vote, overlay)


@pytest.mark.slow
def test_rows_do_not_depend_on_where_tables_are_cut_nor_on_the_truth(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "models" / "mini", "models/mini")
    text = (finished / "params.yaml").read_text(encoding="utf-8")
    before, after = text.split("      images: 24\n")
    Path("params.yaml").write_text(f"{before}      images: 24\n      shard_images: 6\n{after}", encoding="utf-8")
    for stage in STAGES:
        stage.main(Path("params.yaml"))
        shutil.rmtree("data/truth", ignore_errors=True)  # nothing but the audit reads it

    def rows(folder: Path) -> dict[str, list[Row]]:
        return {table.name: read_table(folder / table.folder, table.schema, table.stage) for table in PIPELINE}

    assert len(PIPELINE[-1].parts()) >= 3 and rows(Path()) == rows(finished)
    for stage in ("crop", "question", "answer", "vote", "overlay"):
        name = f"metrics/{stage}.json"
        assert Path(name).read_bytes() == (finished / name).read_bytes()
