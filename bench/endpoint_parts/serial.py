"""The client to compare with: one thread per image, its questions and samples one after another.

Each of 48 workers takes an image, asks its questions in turn, each as many times as there are samples, and
uploads the image with every call: the plain synchronous openai client, as such scripts use it.
"""

import base64
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.endpoint_parts.client import Work, prompt
from bench.endpoint_parts.pictures import picture

WORKERS = 48


def work(told: Work) -> dict[str, Any]:
    """As client.work, without a store. `told.n` samples are `told.n` calls."""
    from openai import OpenAI

    create: Any = OpenAI(base_url=told.url, api_key="none", timeout=600).chat.completions.create
    assert told.pictures and isinstance(told.n, int)
    folder, samples, each = Path(told.pictures), told.n, told.prompts_per_picture

    def ask_about(image: int) -> int:
        data = base64.b64encode(picture(folder, image, told.picture_bytes).load()).decode()
        shown = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}
        for index in range(image * each, (image + 1) * each):
            text = {"type": "text", "text": prompt(index)}
            for sample in range(samples):
                create(
                    model=f"m{index % told.models}", messages=[{"role": "user", "content": [shown, text]}],
                    seed=index * samples + sample, temperature=0.7, max_tokens=256,
                )  # fmt: skip
        return each * samples

    started = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        sequences = sum(pool.map(ask_about, range(told.requests // each)))
    return {"wall_s": time.perf_counter() - started, "sequences": sequences}


if __name__ == "__main__":
    print(json.dumps(work(Work(**json.loads(sys.argv[1])))), flush=True)
