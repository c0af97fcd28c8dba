"""The server of a rehearsal: teachers, judges and the student's tries, by what is asked."""

import base64
import json
import re
from io import BytesIO
from typing import Any

from endpoint.fake_server import Answer, choices
from PIL import Image

from bench.first_hour import COLORS, Reader


class Speaker(Reader):
    """Reads stickers as first_hour's server does, in close-up alone; takes every option; judges what others said."""

    refused = ()
    seen = 0.2

    def __call__(self, body: dict[str, Any]) -> Answer:
        count = body.get("n") or 1
        with self.lock:
            number = self.requests
            self.requests += count
        content = body["messages"][-1]["content"]
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        prompt = "\n".join(part["text"] for part in parts if part["type"] == "text")
        pictures = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        if not pictures:
            return choices(*[judge(prompt)] * count, id=str(number))
        picture = Image.open(BytesIO(base64.b64decode(pictures[-1].partition(",")[2]))).convert("RGB")
        said = (self.say(prompt, picture, number + place) for place in range(count))
        return choices(*said, id=str(number))


def judge(prompt: str) -> str:
    """Equal are answers that name the same color, whatever else they say."""
    if "Group the answers" in prompt:
        listed = re.findall(r"^(\d+)\. (.*) \(given (\d+) times\)$", prompt, re.M)
        groups: dict[str, list[tuple[int, int]]] = {}
        for number, text, given in listed:
            groups.setdefault(color_of(text), []).append((int(number), int(given)))
        found = [{"answers": [one for one, _ in group], "count": sum(given for _, given in group)}
                 for group in groups.values()]  # fmt: skip
        return f"By their colors.\n{json.dumps({'groups': found})}"
    said = dict(re.findall(r"^(Reference answer|Reply): (.*)$", prompt, re.M))
    return json.dumps({"correct": color_of(said["Reference answer"]) == color_of(said["Reply"])})


def color_of(text: str) -> str:
    return next((name for name in COLORS if name in text), text)
