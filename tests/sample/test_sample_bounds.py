"""What a pool may hold costs bounded memory and is a row: films, bombs, pages, pictures that JPEG can't hold."""

import io
import resource
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw
from sample.hostile import encoded, jpeg, picture
from test_sample import choose_from, pool_of, reasons, settings

from r2i.core.errors import TableError
from r2i.core.images import sha256
from r2i.core.params import Pool
from r2i.core.photos import REFERENCE, Photos
from r2i.sample import files
from r2i.sample.choose import Selection
from r2i.sample.pools import list_offers


def chosen(pool: Pool, **changes: object) -> Selection:
    return choose_from(list(list_offers(pool, 0)), settings(pools=[pool], images=1000, **changes))


def found(selection: Selection) -> dict[str, tuple[str, str]]:
    return {source.rpartition("/")[2]: row for source, row in reasons(selection).items()}


def test_a_film_in_the_photo_folder_is_a_row_and_is_never_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    for name in ("film.mp4", "film.jpg"):
        with (tmp_path / name).open("wb") as film:
            film.write(jpeg(2))
            film.truncate(3 * 2**30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    selection = chosen(pool_of(tmp_path))
    assert found(selection) == {"a.jpg": ("ok", "")} | dict.fromkeys(
        ("film.mp4", "film.jpg"), ("failed", "file_too_large")
    )
    assert {row["size"] for row in selection.rows} == {len(jpeg(1)), 3 * 2**30}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_a_film_in_a_shard_is_a_row_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    photos, film = [jpeg(1), jpeg(2)], jpeg(3) + bytes(20_000)
    monkeypatch.setattr(files, "MAX_BYTES", len(film) - 1)
    if kind == "tar":
        with tarfile.open(tmp_path / "a.tar", "w") as tar:
            for number, data in enumerate([*photos, film]):
                info = tarfile.TarInfo(f"{number}.jpg")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    else:
        pq.write_table(pa.table({"image": pa.array([*photos, film], pa.binary())}), tmp_path / "a.parquet")
    selection = chosen(Pool(kind=kind, name="p", path=str(tmp_path)))  # type: ignore[arg-type]
    assert sorted(found(selection).values()) == [("failed", "file_too_large"), ("ok", ""), ("ok", "")]


def test_what_can_not_be_stored_or_shown_is_a_row(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(encoded(picture(1), "PNG"))
    (tmp_path / "high.png").write_bytes(encoded(Image.new("L", (400, 66000), 200), "PNG"))
    (tmp_path / "float.tif").write_bytes(
        encoded(Image.fromarray(np.linspace(0, 1, 4096, dtype="f4").reshape(64, 64)), "TIFF")
    )
    (tmp_path / "page.jpg").write_bytes(encoded(picture(2), "EPS"))
    (tmp_path / "bomb.png").write_bytes(encoded(Image.new("L", (9000, 9000), 200), "PNG"))
    assert found(chosen(pool_of(tmp_path), max_aspect=200)) == {
        "good.png": ("ok", ""),
        "high.png": ("failed", "side_too_long"),
        "float.tif": ("failed", "unknown_scale"),
        "page.jpg": ("failed", "unreadable"),
        "bomb.png": ("failed", "decompression_bomb"),
    }


def test_pages_and_flat_pictures_are_not_dropped_as_near_duplicates(tmp_path: Path) -> None:
    for number, text in enumerate(("Total 41.20", "Invoice 7 of 9", "Ward B, bed 12")):
        page = Image.new("RGB", (1240, 1754), "white")
        ImageDraw.Draw(page).text((300, 300 + 9 * number), text, fill="black")
        page.save(tmp_path / f"{number}.png")
        page.save(tmp_path / f"{number}.jpg", quality=90)
    for number, shade in enumerate(((0, 0, 254), (255, 255, 255), (0, 0, 0))):
        Image.new("RGB", (640, 360), shade).save(tmp_path / f"flat{number}.png")
    selection = chosen(pool_of(tmp_path), near_duplicate_bits=4)
    assert set(found(selection).values()) == {("ok", "")} and len(selection.rows) == 9
    assert {row["phash"] for row in selection.rows} == {None}
    (tmp_path / "again.png").write_bytes((tmp_path / "0.png").read_bytes())
    assert sorted(found(chosen(pool_of(tmp_path), near_duplicate_bits=4)).values())[-1] == ("rejected", "duplicate")


@pytest.mark.parametrize("member", ["../secret.jpg", "a/../../secret.jpg", "{tmp}/secret.jpg"])
def test_a_row_of_a_table_reads_no_file_outside_its_pool(tmp_path: Path, member: str) -> None:
    """Tables come from others, and the hash of a known file is easily had."""
    (tmp_path / "pool").mkdir()
    (tmp_path / "secret.jpg").write_bytes(jpeg(1))
    row = dict.fromkeys(REFERENCE) | {"image_id": sha256(jpeg(1)), "pool": "photos", "status": "ok"}
    with pytest.raises(TableError, match="is no file of the pool"):
        Photos([pool_of(tmp_path / "pool")]).jpeg(row | {"member": member.format(tmp=tmp_path)})
