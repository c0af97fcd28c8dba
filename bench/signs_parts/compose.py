"""Pictures with text and its truth: words on plates, in perspective, blur and light, laid into real photographs."""

import json
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from r2i.core.boxes import Box, iou
from r2i.sample.truth import TRUTH_FILE

SIZE = (800, 600)
LEAST, MOST = 3, 6  # texts of a picture
TWICE = 0.15  # share of pictures in which one text stands twice
HEIGHTS = (11, 30)  # of a text, pixels
FONTS = tuple(
    Path(matplotlib.__file__).parent / "mpl-data" / "fonts" / "ttf" / f"{name}.ttf"
    for name in ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSansMono-Bold",
                 "STIXGeneral", "STIXGeneralBol", "cmss10", "cmb10")
)  # fmt: skip
WORDS = (
    "EXIT ENTRANCE PLATFORM BAKERY PHARMACY HOTEL MUSEUM LIBRARY GARDEN STATION PARKING TICKETS OPEN CLOSED PUSH PULL "
    "DANGER CAUTION PRIVATE RECEPTION ELEVATOR STAIRS OFFICE KITCHEN GALLERY BRIDGE HARBOUR MARKET SCHOOL CINEMA CAFE "
    "Books Coffee Fresh Flowers Harper Winslow Granada Oakfield Riverside Northgate Miller Sunset Emerald Juniper "
    "Velocity Marathon Orion Falcon Nordic Atlas Pioneer Meridian Cascade Summit Beacon Lantern Compass Anchor"
).split()
PAIRS = ("KEEP LEFT", "NO ENTRY", "ROOM {n}", "GATE {n}", "BUS {n}", "MAIN STREET", "MIND THE STEP", "{n} km",
         "EUR {n}.{m}", "SALE {n} %", "TRACK {n}", "OPEN 9 TO 5", "WAY OUT", "{n}-{m}", "{a}{b} {n}{m}")  # fmt: skip
INKS = (((20, 20, 24), (240, 240, 232)), ((245, 245, 245), (170, 30, 30)), ((250, 250, 250), (25, 70, 150)),
        ((25, 25, 25), (240, 205, 60)), ((245, 245, 240), (35, 95, 60)), ((120, 25, 25), (238, 230, 210)),
        ((235, 235, 235), (60, 60, 66)))  # fmt: skip


def compose(folder: Path, photographs: list[Path], count: int, seed: int) -> None:
    """Write `count` pictures and truth.jsonl into `folder`, each on a part of one of `photographs`."""
    folder.mkdir(parents=True)
    lines = []
    for number in range(count):
        draw = np.random.default_rng([seed, number])
        canvas = take_part(photographs[number % len(photographs)], draw)
        placed: list[tuple[str, Box]] = []
        for text in choose_texts(draw):
            canvas, box = lay(canvas, text, [box for _, box in placed], draw)
            if box:
                placed.append((text, box))
        name = f"{number:04}.jpg"
        noisy = canvas + draw.normal(0, draw.uniform(0, 4), canvas.shape)
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(folder / name, quality=int(draw.integers(70, 95)))
        lines += [json.dumps({"image": name, "text": text, "box": list(box)}) for text, box in placed]
    (folder / TRUTH_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def choose_texts(draw: np.random.Generator) -> list[str]:
    """The texts of one picture; in some, one of them twice."""
    texts: list[str] = []
    for _ in range(int(draw.integers(LEAST, MOST + 1))):
        if draw.random() < 0.55:
            text = str(draw.choice(WORDS))
            text = text.upper() if draw.random() < 0.3 else text
        else:
            n, m = int(draw.integers(2, 99)), int(draw.integers(10, 99))
            a, b = (chr(int(sign)) for sign in draw.integers(65, 91, 2))
            text = str(draw.choice(PAIRS)).format(n=n, m=m, a=a, b=b)
        if text.casefold() not in (other.casefold() for other in texts):
            texts.append(text)
    return [*texts, texts[0]] if draw.random() < TWICE else texts


def take_part(path: Path, draw: np.random.Generator) -> np.ndarray:
    """A part of a photograph, SIZE, (H, W, 3) in float."""
    image = Image.open(path)
    image.draft("RGB", (2 * SIZE[0], 2 * SIZE[1]))
    image = image.convert("RGB")
    scale = max(SIZE[0] / image.width, SIZE[1] / image.height)
    zoom = draw.uniform(scale, max(scale, 1.0) * 1.3)
    image = image.resize((max(SIZE[0], round(image.width * zoom)), max(SIZE[1], round(image.height * zoom))))
    left, top = (int(draw.integers(0, side - least + 1)) for side, least in zip(image.size, SIZE, strict=True))
    return np.asarray(image.crop((left, top, left + SIZE[0], top + SIZE[1])), np.float64)


def plate_of(text: str, draw: np.random.Generator) -> tuple[Image.Image, Image.Image, Box]:
    """The text on a plate at four times its size: RGB, its mask (with bare letters: theirs), and the letters' box."""
    height = 4 * int(draw.integers(*HEIGHTS))
    font = ImageFont.truetype(str(FONTS[int(draw.integers(len(FONTS)))]), height)
    left, top, right, bottom = font.getbbox(text)
    pad = int(height * draw.uniform(0.3, 0.6))
    size = (int(right - left) + 2 * pad, int(bottom - top) + 2 * pad)
    ink, ground = INKS[int(draw.integers(len(INKS)))]
    plate, mask = Image.new("RGB", size, ground), Image.new("L", size, 255)
    ImageDraw.Draw(plate).text((pad - left, pad - top), text, fill=ink, font=font)
    if draw.random() < 0.25:  # painted on the thing itself
        plate, mask = Image.new("RGB", size, ink), Image.new("L", size, 0)
        ImageDraw.Draw(mask).text((pad - left, pad - top), text, fill=255, font=font)
    return plate, mask, Box(pad, pad, size[0] - pad, size[1] - pad)


def lay(canvas: np.ndarray, text: str, taken: list[Box], draw: np.random.Generator) -> tuple[np.ndarray, Box | None]:
    """The canvas with the text in perspective, blurred and lit; None where there was no free place for it."""
    plate, mask, inner = plate_of(text, draw)
    wide, high = plate.width / 4, plate.height / 4
    for _ in range(20):
        x, y = draw.uniform(6, SIZE[0] - wide - 6), draw.uniform(6, SIZE[1] - high - 6)
        corners = np.array([(x, y), (x + wide, y), (x + wide, y + high), (x, y + high)])
        angle = np.deg2rad(draw.normal(0, 6))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        corners = (corners - corners.mean(0)) @ turn.T + corners.mean(0)
        corners = (corners + draw.normal(0, 0.1 * high, (4, 2))).astype(np.float32)
        if (corners < 2).any() or (corners > np.array(SIZE) - 2).any():
            continue
        around = Box(*np.floor(corners.min(0) - 6).astype(int), *np.ceil(corners.max(0) + 6).astype(int))
        if all(iou(around, other) == 0 for other in taken):
            break
    else:
        return canvas, None
    source = np.array([(0, 0), (plate.width, 0), (plate.width, plate.height), (0, plate.height)], np.float32)
    matrix = cv2.getPerspectiveTransform(source, corners)
    colour, share = (
        cv2.warpPerspective(cv2.GaussianBlur(np.asarray(layer), (0, 0), 1.6), matrix, SIZE, flags=cv2.INTER_AREA)
        for layer in (plate, mask)
    )
    light = np.linspace(draw.uniform(0.65, 1.1), draw.uniform(0.65, 1.1), SIZE[0])[None, :, None]
    alpha = share[:, :, None] / 255
    mixed = canvas * (1 - alpha) + colour * light * alpha
    blur = draw.uniform(0, 1.3)
    if blur > 0.3:
        left, top, right, bottom = (max(0, side) for side in around)
        part = np.ascontiguousarray(mixed[top:bottom, left:right])
        mixed[top:bottom, left:right] = cv2.GaussianBlur(part, (0, 0), blur)
    left, top, right, bottom = inner
    ends = np.array([[(left, top), (right, top), (right, bottom), (left, bottom)]], np.float32)
    letters = cv2.perspectiveTransform(ends, matrix)[0]
    return mixed, Box(*(int(v) for v in np.floor(letters.min(0))), *(int(v) for v in np.ceil(letters.max(0))))
