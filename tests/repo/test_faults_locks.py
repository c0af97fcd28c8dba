"""The bench of hostile locks, listings, checkpoints and params finds none that gets through."""

from pathlib import Path

from bench.faults_locks import try_locks


def test_nothing_hostile_gets_through_and_nothing_whole_is_lost(tmp_path: Path) -> None:
    counts = try_locks(tmp_path / "locks")
    assert counts.pop("tried") > 500
    assert counts == {"lost": 0, "invented": 0, "let_in": 0, "tracebacks": 0}
