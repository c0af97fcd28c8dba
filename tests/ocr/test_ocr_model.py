"""Real readers on a small picture: found, read, asked by the prompts of every model, failed as a row."""

import json
from io import BytesIO

import pytest
from PIL import Image, ImageDraw, ImageFont
from pydantic import ValidationError

from r2i.core.choices import adapt_prompt, mcq_prompt
from r2i.core.drawing import draw_box, frame_box
from r2i.core.errors import EndpointError, ParamsError
from r2i.core.images import jpeg_bytes
from r2i.core.params import READERS, Crop, Cut, Endpoint, Outline, Question, Sampling
from r2i.core.prompts import load_prompt
from r2i.crop.finders import make_finder
from r2i.crop.regions import find_regions_of
from r2i.endpoint import Picture, Reply, Request, connect
from r2i.ocr import engines, kept
from r2i.ocr.reading import load_reader
from r2i.overlay.reply import DISTRACTORS_FORM, parse_distractors
from r2i.question.reply import CHECKS_FORM, QUESTIONS_FORM, parse_checks, parse_questions
from r2i.question.write import build_write_request

TEXTS = {"EXIT": (20, 16), "PLATFORM 4": (180, 130), "Bakery": (30, 200)}
CUT = Cut(margin=0.25, upscale=3)
WARM, COLD = Sampling(temperature=1.0), Sampling(temperature=0.0)


def sign(texts: dict[str, tuple[int, int]]) -> Image.Image:
    image = Image.new("RGB", (360, 260), (96, 128, 96))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=22)
    for text, place in texts.items():
        box = draw.textbbox(place, text.strip(), font=font)
        draw.rectangle((box[0] - 6, box[1] - 6, box[2] + 6, box[3] + 6), fill=(240, 240, 232))
        draw.text(place, text.strip(), fill=(20, 20, 24), font=font)
    return image


@pytest.fixture(scope="module", autouse=True)
def _own_outlines(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept.paths, "state_folder", lambda: folder)
        kept._open.cache_clear()
        yield
    kept._open.cache_clear()


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return sign(TEXTS)


@pytest.fixture(scope="module")
def regions(picture: Image.Image) -> dict[str, dict]:
    params = Crop(method="text", min_score=0.4, min_side=5, per_image=9)
    rows = find_regions_of("i", jpeg_bytes(picture), make_finder(params, CUT), params, CUT)
    assert all(row["status"] == "ok" for row in rows), rows
    return {row["name"]: row for row in rows}


def ask(name: str, prompt: str, images: tuple[bytes, ...], sampling: Sampling = COLD, **more: object) -> list[Reply]:
    with connect(Endpoint(kind="ocr", model=name)) as model:
        (replies,) = model.complete([Request(prompt, images, sampling, 7, **more)])
    return replies


def test_lines_are_regions_with_what_they_say(regions: dict[str, dict]):
    assert set(regions) == set(TEXTS)
    assert all(0.4 <= row["score"] <= 1 and row["area_share"] < 0.1 for row in regions.values())


def test_a_text_that_stands_twice_is_refused_with_a_reason():
    image = jpeg_bytes(sign({"EXIT": (20, 20), "EXIT ": (220, 200)}))
    params = Crop(method="text", min_score=0.4, min_side=5)
    rows = find_regions_of("i", image, make_finder(params, CUT), params, CUT)
    assert [(row["status"], row["reason"], row["name"]) for row in rows] == [("rejected", "repeated_text", "EXIT")] * 2


def test_a_reader_writes_and_checks_questions_and_finds_wrong_answers(picture: Image.Image, regions: dict[str, dict]):
    row, whole = regions["PLATFORM 4"], jpeg_bytes(picture)
    prompt = load_prompt("question", "write", "signs").fill(count=2, box=list(row["box"]))
    (reply,) = ask("rapidocr", prompt, (row["crop"], whole), form=QUESTIONS_FORM)
    written = parse_questions(reply.text).value
    assert len(written) == 2 and all(one.dimension == "ocr" for one in written)
    for one in written:
        check = load_prompt("question", "validate", "signs").fill(question=one.question)
        (reply,) = ask("rapidocr", check, (whole, row["crop"]), form=CHECKS_FORM)
        assert parse_checks(reply.text).value == (True,) * 4
        (reply,) = ask(
            "rapidocr", check, (jpeg_bytes(sign({"PLATFORM 42": (180, 130)})), row["crop"]), form=CHECKS_FORM
        )
        assert parse_checks(reply.text).value == (True, True, False, True)  # the crop's text is cut short
        lure = load_prompt("overlay", "distractors", "paper").fill(question=one.question, answer="PLATFORM 4", count=3)
        (reply,) = ask("rapidocr", lure, (row["crop"], whole), form=DISTRACTORS_FORM)
        wrong = parse_distractors(reply.text).value
        assert len(wrong) >= 3 and "PLATFORM 4" not in wrong and {"EXIT", "Bakery"} & set(wrong)


def test_what_may_be_a_text_counts_against_a_place(monkeypatch: pytest.MonkeyPatch):
    """A second text in the field, which the detector hardly sees and nobody reads."""
    picture = jpeg_bytes(sign({"BAKERY": (40, 40)}))
    prompt = load_prompt("question", "write", "signs").fill(count=1, box=[30, 30, 150, 70])

    def questions() -> int:
        (reply,) = ask("rapidocr", prompt, (picture, picture), form=QUESTIONS_FORM)
        return len(parse_questions(reply.text).value)

    assert questions() == 1
    hint = engines.Line(((50.0, 75.0), (90.0, 75.0), (90.0, 83.0), (50.0, 83.0)), 0.25)
    found = kept.outline
    monkeypatch.setattr(
        "r2i.ocr.reading.outline",
        lambda image, faint=False: [*found(image, faint), hint] if faint else found(image, faint),
    )
    assert questions() == 0


def test_a_word_whose_outline_is_too_short_is_not_answerable(monkeypatch: pytest.MonkeyPatch):
    """The detector leaves out letters; the wider strip shows them, and the whole picture is read alike."""
    picture = sign({"BAKERY": (40, 40)})
    crop = picture.crop((20, 30, 180, 90))
    found = engines.find_lines

    def short(image: Image.Image, faint: bool = False) -> list[engines.Line]:
        return [
            line._replace(quad=(a, _part(a, b), _part(d, c), d)) for line in found(image) for a, b, c, d in [line.quad]
        ]

    def _part(start: engines.Point, end: engines.Point) -> engines.Point:
        return start[0] + 0.8 * (end[0] - start[0]), start[1] + 0.8 * (end[1] - start[1])

    prompt = load_prompt("question", "validate", "signs").fill(
        question="What is written at the upper left of the whole picture?"
    )
    shown = (jpeg_bytes(picture), jpeg_bytes(crop))
    (whole,) = ask("rapidocr", prompt, shown, form=CHECKS_FORM)
    monkeypatch.setattr("r2i.ocr.reading.outline", short)
    load_reader("rapidocr").known.clear()
    (cut,) = ask("rapidocr", prompt, shown, form=CHECKS_FORM)
    load_reader("rapidocr").known.clear()
    assert parse_checks(whole.text).value == (True,) * 4
    assert parse_checks(cut.text).value == (False, True, True, True)


@pytest.mark.parametrize("name", READERS)
def test_two_families_read_a_crop_and_its_samples_differ_by_their_seed_alone(name: str, regions: dict[str, dict]):
    prompt = load_prompt("answer", "answer", "paper").fill(question="What is written at the top of the whole picture?")
    first, again = (ask(name, prompt, (regions["PLATFORM 4"]["crop"],), WARM, n=4) for _ in range(2))
    assert first == again and len({reply.key for reply in first}) == 4
    assert [reply.text for reply in first].count("<answer>PLATFORM 4</answer>") >= 3
    assert first[0].model.startswith(f"{name}@")


def test_every_view_of_a_question_is_answered(picture: Image.Image, regions: dict[str, dict]):
    row = regions["EXIT"]
    options = ["PLATFORM 4", "EX1T", "EXIT", "EKIT"]
    prompt = mcq_prompt("What is written at the upper left of the whole picture?", options, "paper")
    boxed = jpeg_bytes(draw_box(picture, frame_box(row["box"], Cut(margin=0), *picture.size), Outline(line=3)))
    for shown, asked in (
        (jpeg_bytes(picture), prompt),
        (row["crop"], prompt),
        (boxed, adapt_prompt(prompt, "boxed", "paper")),
    ):
        (reply,) = ask("rapidocr", asked, (shown,))
        assert reply.text == "<answer>C</answer>"


def test_what_cannot_be_asked_or_read_fails_alone(picture: Image.Image):
    whole = jpeg_bytes(picture)
    assert [reply.reason for reply in ask("rapidocr", "What?", (b"no picture",), n=2)] == ["unreadable"] * 2
    assert ask("rapidocr", "Who agrees?", (whole,), form=json.dumps({"name": "groups"}))[0].reason == "bad_request"
    assert ask("rapidocr", "Write 2 questions", (whole,), form=QUESTIONS_FORM)[0].status == "failed"
    blank = BytesIO()
    Image.new("RGB", (64, 64), "grey").save(blank, "JPEG")
    (nothing,) = ask("tesseract", "What is written?", (blank.getvalue(),))
    assert (nothing.status, nothing.text) == ("ok", "<answer></answer>")


def test_a_box_in_pixels_and_a_smaller_image_do_not_go_together():
    params = Question.model_validate({"prompts": "signs", "teacher": {}, "max_pixels": 100})
    with pytest.raises(ParamsError, match="leave max_pixels out"):
        build_write_request({"region_id": "r", "box": [0, 0, 9, 9]}, Picture.of(b""), Picture.of(b""), params, 0)


def test_a_missing_package_and_an_unknown_reader_say_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path):
    assert set(READERS) == set(engines.LIBRARIES)
    monkeypatch.setenv("TESSDATA_PREFIX", str(tmp_path))
    with pytest.raises(EndpointError, match=r"eng\.traineddata.*extra `ocr`"):
        engines.find_tessdata()
    monkeypatch.setitem(__import__("sys").modules, "rapidocr", None)
    engines._rapidocr.cache_clear()
    with pytest.raises(EndpointError, match="no package rapidocr"):
        engines._rapidocr()
    with pytest.raises(ValidationError, match="kind: ocr has no model 'easyread'"):
        Endpoint(kind="ocr", model="easyread")
