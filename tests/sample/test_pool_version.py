"""A pool of files is pinned by its listing: `sample` stops where it holds others than params say."""

import json
import os
import sys
from pathlib import Path

import pytest
import yaml
from clone import run
from sample.hostile import jpeg
from typer.testing import CliRunner

from r2i.cli.main import app
from r2i.core.errors import ParamsError, R2IError
from r2i.core.params import Pool
from r2i.importing.pin import pin_version
from r2i.importing.version import Pinned
from r2i.sample.pools import list_offers
from r2i.sample.version import list_pool, require_versions

ROOT = Path(__file__).parents[2]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    fill(tmp_path / "photos")
    return tmp_path / "photos"


def fill(folder: Path) -> None:
    (folder / "below").mkdir(parents=True)
    for number in range(3):
        (folder / "below" / f"{number}.jpg").write_bytes(jpeg(number))


def pool(folder: Path, version: str | None = None) -> Pool:
    return Pool(kind="folder", name="photos", path=str(folder), version=version)


def pinned(name: str) -> Pinned:
    return Pinned("pool", name, None)


def version_of(folder: Path) -> str:
    return list_pool(list_offers(pool(folder), 0)).version


def sampled(folder: Path, version: str | None) -> dict[str, dict[str, object]]:
    pools = [pool(folder, version), Pool(kind="rendered", name="scenes", scenes=1)]
    return require_versions(pools, {each.name: list(list_offers(each, 0)) for each in pools})


def test_the_version_is_of_places_sizes_and_contents_not_of_where_the_pool_lies(photos: Path, tmp_path: Path) -> None:
    first = version_of(photos)
    assert first.startswith("3-") and len(first) == 34
    fill(tmp_path / "copy")
    os.utime(tmp_path / "copy" / "below" / "0.jpg", (1, 1))
    assert version_of(tmp_path / "copy") == first
    (photos / "below" / "0.jpg").rename(photos / "0.jpg")
    assert version_of(photos) != first


def test_a_pinned_pool_that_changed_stops_sample_which_counts_what_changed(photos: Path) -> None:
    """One in, one out and one changed: as many images as before, which DVC would not notice."""
    pinned = version_of(photos)
    assert sampled(photos, pinned) == {"photos": {"version": pinned, "pinned": True}}
    (photos / "below" / "0.jpg").unlink()
    (photos / "new.jpg").write_bytes(jpeg(7))
    (photos / "below" / "1.jpg").write_bytes(jpeg(8))
    with pytest.raises(R2IError) as caught:
        sampled(photos, pinned)
    assert caught.value.cause.endswith("changed since it was pinned: 1 added, 1 removed, 1 changed")
    assert "r2i pool version photos --write" in caught.value.remedy


def test_without_the_old_listing_the_numbers_are_told(photos: Path) -> None:
    with pytest.raises(R2IError, match="1,200 then, 3 now"):
        sampled(photos, "1200-" + "0" * 32)


def test_a_pool_that_is_not_pinned_is_said_and_stands_in_the_metrics(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sampled(photos, None) == {"photos": {"version": version_of(photos), "pinned": False}}
    assert "pool photos is not pinned" in capsys.readouterr().err


BLOCK = """profiles:
  # of two pools
  one:
    sample: &sample
      pools:
        - kind: folder
          name: photos   # the first
          path: p # here
        - {kind: tar, name: sa1b, path: q, version: null}
      images: 3
  two:
    sample: {<<: *sample, images: 5} # shared
"""


@pytest.mark.parametrize(
    ("profile", "name", "was", "put"),
    [
        ("one", "photos", "path: p # here\n", 'path: p # here\n          version: "3-ab"\n'),
        ("one", "sa1b", "version: null", 'version: "3-ab"'),
        ("two", "photos", "path: p # here\n", 'path: p # here\n          version: "3-ab"\n'),
    ],
)
def test_writing_a_version_changes_nothing_else(tmp_path: Path, profile: str, name: str, was: str, put: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(BLOCK)
    pin_version(file, profile, pinned(name), "3-ab")
    assert file.read_text() == BLOCK.replace(was, put)
    pin_version(file, profile, pinned(name), "4-cd")
    assert file.read_text() == BLOCK.replace(was, put.replace("3-ab", "4-cd"))


def test_ends_of_lines_rights_and_a_link_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real.yaml", tmp_path / "params.yaml"
    windows = BLOCK.replace("\n", "\r\n").encode()
    real.write_bytes(windows)
    real.chmod(0o664)
    link.symlink_to(real)
    pin_version(link, "one", pinned("photos"), "3-ab")
    assert real.read_bytes() == windows.replace(
        b"path: p # here\r\n", b'path: p # here\r\n          version: "3-ab"\r\n'
    )
    assert link.is_symlink() and real.stat().st_mode & 0o777 == 0o664


def test_our_own_params_take_a_version_in_every_profile_of_files(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    for profile in ("paper", "one-gpu"):
        file.write_text(text, encoding="utf-8")
        pin_version(file, profile, pinned("sa1b"), "3-ab")
        assert yaml.safe_load(file.read_text())["profiles"][profile]["sample"]["pools"][0]["version"] == "3-ab"
        assert len(file.read_text()) - len(text) == len('\n        version: "3-ab"')
    with pytest.raises(ParamsError, match="no pool 'other'"):
        pin_version(file, "paper", pinned("other"), "3-ab")


def write_params(folder: Path) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    pool = {"kind": "folder", "name": "photos", "path": "photos"}
    values["profiles"]["smoke"]["sample"] |= {"pools": [pool], "min_side": 8}
    (folder / "params.yaml").write_text(yaml.safe_dump(values | {"profile": "smoke"}), encoding="utf-8")


def test_the_stage_notes_the_version_and_stops_where_the_pool_is_another(photos: Path, tmp_path: Path) -> None:
    write_params(tmp_path)
    first = run(tmp_path, sys.executable, str(ROOT / "stages" / "sample.py"), PYTHONPATH=str(ROOT))
    assert first.returncode == 0 and "pool photos is not pinned" in first.stderr, first.stderr
    metrics = json.loads((tmp_path / "metrics" / "sample.json").read_text())
    assert metrics["versions"] == {"photos": {"version": version_of(photos), "pinned": False}}
    pin_version(tmp_path / "params.yaml", "smoke", pinned("photos"), version_of(photos))
    (photos / "below" / "0.jpg").unlink()
    second = run(tmp_path, sys.executable, str(ROOT / "stages" / "sample.py"), PYTHONPATH=str(ROOT))
    assert second.returncode == 1
    assert "error: pool 'photos' has changed since it was pinned: 0 added, 1 removed, 0 changed" in second.stderr


def test_the_command_prints_pins_and_says_what_changed(photos: Path, tmp_path: Path) -> None:
    write_params(tmp_path)

    def told(*more: str) -> str:
        done = CliRunner().invoke(app, ["pool", "version", *more])
        assert done.exit_code == 0, done.output
        return done.stdout

    version = version_of(photos)
    assert told() == f"photos: {version} (not pinned)\n"
    assert told("photos", "--write") == f"photos: {version} (not pinned; written)\n"
    assert told() == f"photos: {version} (as pinned)\n"
    (photos / "new.jpg").write_bytes(jpeg(7))
    assert told() == f"photos: {version_of(photos)} (pinned: 1 added, 0 removed, 0 changed)\n"
    assert CliRunner().invoke(app, ["pool", "version", "no-such"]).exit_code == 1
