"""No file can break a sample: every good image is used, every bad one is a row with its reason."""

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from sample.hostile import COPIES, GOOD, PAIR, Expected, make_pool, picture
from test_sample import choose_from, pool_of, reasons, settings

from r2i.core.errors import ImageError
from r2i.core.images import read_image
from r2i.sample import workers
from r2i.sample.choose import Selection
from r2i.sample.inspection import inspect_bytes
from r2i.sample.pools import list_offers


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Expected]]:
    folder = tmp_path_factory.mktemp("hostile") / "pool"
    return folder, make_pool(folder)


def chosen_from(folder: Path, **changes: object) -> Selection:
    pool = pool_of(folder)
    return choose_from(list(list_offers(pool, 0)), settings(pools=[pool], images=1000, **changes))


@pytest.fixture(scope="module")
def choice(hostile: tuple[Path, dict[str, Expected]]) -> Selection:
    return chosen_from(hostile[0], workers=1)


def test_every_good_image_is_used_and_every_bad_one_is_a_row_with_its_reason(
    hostile: tuple[Path, dict[str, Expected]], choice: Selection
) -> None:
    found = {source.removeprefix("photos/"): row for source, row in reasons(choice).items()}
    expected = {name: row for name, row in hostile[1].items() if name not in COPIES | PAIR}
    assert {name: found.get(name) for name in expected} == expected
    assert len(expected) > 60
    assert found.keys() == expected.keys() | COPIES | PAIR


def test_of_copies_and_near_copies_one_is_used(choice: Selection) -> None:
    found = {source.removeprefix("photos/"): row for source, row in reasons(choice).items()}
    assert Counter(found[name][1] for name in COPIES) == {"": 1, "duplicate": 2}
    assert Counter(found[name][1] for name in PAIR) == {"": 1, "near_duplicate": 1}


def test_processes_give_the_same_rows_in_the_same_order(
    hostile: tuple[Path, dict[str, Expected]], choice: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "MIN_IMAGES", 1)
    assert chosen_from(hostile[0], workers=2).rows == choice.rows


def test_a_jpeg_cut_anywhere_gets_the_reason_of_a_whole_decode() -> None:
    data = GOOD["plain.jpg"]()
    large = picture(70, 640, 600)  # decoded at half its size
    for whole in (data, _jpeg(large), _jpeg(large, progressive=True)):
        for length in [*range(0, len(whole), max(1, len(whole) // 60)), *range(len(whole) - 8, len(whole) + 1)]:
            inspection = inspect_bytes(whole[:length], settings(), return_jpeg=False)
            assert inspection.reason == _reason(whole[:length]), length


def _jpeg(image: Image.Image, **options: object) -> bytes:
    from sample.hostile import encoded

    return encoded(image, "JPEG", quality=90, **options)


def _reason(data: bytes) -> str:
    try:
        read_image(data)
        return ""
    except ImageError as error:
        return error.cause
