"""What an evaluation script in the reference's form gives its engine: it runs beside stand-ins that write it down.

    python record_script.py SCRIPT OUT [its arguments]

The script runs in the current folder, as in a machine with GPUs; `vllm`, `transformers` and `qwen_vl_utils` are
stand-ins. OUT gets a JSON list: for each prompt its messages, pictures and settings.
"""

import json
import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

SEEN: list[dict[str, Any]] = []


class SamplingParams(SimpleNamespace):
    pass


class LLM:
    def __init__(self, **_: Any) -> None:
        pass

    def generate(self, prompts: list[dict[str, Any]], sampling_params: SamplingParams) -> list[Any]:
        for prompt in prompts:
            pictures = prompt["multi_modal_data"]["image"]
            SEEN.append(
                {"messages": json.loads(prompt["prompt"]), "pictures": pictures, "settings": vars(sampling_params)}
            )
        said = SimpleNamespace(text="<answer>A</answer>", token_ids=[1])
        return [SimpleNamespace(outputs=[said]) for _ in prompts]


class Processor:
    @classmethod
    def from_pretrained(cls, *_: Any, **__: Any) -> "Processor":
        return cls()

    def apply_chat_template(self, messages: Any, **_: Any) -> str:
        return json.dumps(messages)


def process_vision_info(messages: list[dict[str, Any]]) -> tuple[list[str], None]:
    parts = [part for message in messages if isinstance(message["content"], list) for part in message["content"]]
    return [part["image"] for part in parts if part["type"] == "image"], None


STAND_INS = {
    "vllm": {"LLM": LLM, "SamplingParams": SamplingParams},
    "transformers": {"AutoProcessor": Processor},
    "qwen_vl_utils": {"process_vision_info": process_vision_info},
}

if __name__ == "__main__":
    script, out, *arguments = sys.argv[1:]
    for name, values in STAND_INS.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(values)
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")
    Path(out).write_text(json.dumps(SEEN), encoding="utf-8")
