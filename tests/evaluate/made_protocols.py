"""Made places of the forms that `r2i protocol import` reads: words of ours, shapes of theirs."""

from pathlib import Path

# An evaluation script in the reference's form.
SCRIPT = """
from vllm import LLM, SamplingParams
from qwen_vl_utils import process_vision_info
from transformers import AutoProcessor
import argparse, json, os

parser = argparse.ArgumentParser()
parser.add_argument("--benchmark", default="zoom-bench", type=str)
parser.add_argument("--model", default="m", type=str)
parser.add_argument("--out_dir", default="said", type=str)
parser.add_argument("--temperature", default=0.6, type=float)
parser.add_argument("--seed", default=42, type=int)
args = parser.parse_args()


def preprocess_item(item, processor, benchmark):
    image = item["crop_images"][0] if benchmark == "zoom-bench-crop" else item["images"][0]
    text = item["query"].replace("<image>", "")
    messages = [
        {"role": "system", "content": "Be brief.\\n Put {what you found} into <answer> </answer>."},
        {"role": "user", "content": [
            {"type": "image", "image": image, "min_pixels": 65536, "max_pixels": 16777216},
            {"type": "text", "text": text},
        ]},
    ]
    prompt = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return {"prompt": prompt, "multi_modal_data": {"image": process_vision_info(messages)[0]}}


if __name__ == "__main__":
    items = json.load(open("zoombench.json"))
    llm = LLM(model="m")
    settings = SamplingParams(max_tokens=4096, temperature=args.temperature, top_p=0.9, top_k=30,
                              presence_penalty=1.25, repetition_penalty=1.0, seed=args.seed)
    processor = AutoProcessor.from_pretrained("m")
    llm.generate([preprocess_item(item, processor, args.benchmark) for item in items], sampling_params=settings)
"""

CLIENT = """
def _get_max_new_tokens(gen_kwargs: dict) -> int:
    return gen_kwargs.get("max_new_tokens", 777)


def send(context, image):
    parts = [{"type": "text", "text": context}]
    parts.append({"type": "image_url", "image_url": {"url": image}})
    return parts
"""

TASKS = {
    "vstar_bench/vstar_bench.yaml": "include: shared_yaml\ntask: vstar_bench\n",
    "vstar_bench/shared_yaml": (
        "doc_to_text: !function utils.to_text\ndoc_to_visual: !function utils.to_visual\n"
        "generation_kwargs:\n  max_new_tokens: 9\n  temperature: 0\n"
        'lmms_eval_specific_kwargs:\n  default:\n    pre_prompt: "Look. "\n    post_prompt: "\\nOne letter."\n'
    ),
    "vstar_bench/utils.py": """
import re


def to_text(doc, lmms_eval_specific_kwargs=None):
    question = doc["text"]
    found = re.findall(r"\\([A-D]\\)\\s*([^()]+?)(?=\\s*\\([A-D]\\)|$)", question)
    if found:
        letters = ["A", "B", "C", "D"]
        lines = []
        for i, option in enumerate(found):
            if i < len(letters):
                lines.append(f"{letters[i]}) {option.strip()}")
        question = question.split("(A)")[0].strip() + "\\n" + "; ".join(lines)
    if lmms_eval_specific_kwargs and lmms_eval_specific_kwargs.get("pre_prompt"):
        question = f"{lmms_eval_specific_kwargs['pre_prompt']}{question}"
    return question + lmms_eval_specific_kwargs["post_prompt"]
""",
    "hrbench/hrbench4k.yaml": "doc_to_text: !function utils.to_text\n",
    "hrbench/utils.py": """
import string
import pandas as pd


def to_options(doc):
    return {cand: doc[cand] for cand in string.ascii_uppercase if cand in doc and not pd.isna(doc[cand])}


def to_text(doc, lmms_eval_specific_kwargs=None):
    text = ""
    for key, item in to_options(doc).items():
        text += f"{key}: {item}\\n"
    return f"{doc['question'].strip()}\\n{text}Say the letter."
""",
    "cv_bench/cv_bench_2d.yaml": (
        "doc_to_text: !function utils.to_text\n"
        'lmms_eval_specific_kwargs:\n  default:\n    pre_prompt: "Say one of {}.\\n"\n'
    ),
    "cv_bench/utils.py": """
def to_text(doc, lmms_eval_specific_kwargs=None):
    letters = ", ".join([chr(65 + i) for i in range(len(doc["choices"]))])
    return lmms_eval_specific_kwargs.get("pre_prompt", "").format(letters) + doc["prompt"]
""",
    "mme_realworld/mme_realworld.yaml": "doc_to_text: !function utils.to_text\n",
    "mme_realworld/mme_realworld_lite.yaml": "doc_to_text: !function utils.to_text\n",
    "mme_realworld/mme_realworld_cn.yaml": "doc_to_text: !function utils.to_text_cn\n",
    "mme_realworld/utils.py": """
def to_text(doc, lmms_eval_specific_kwargs=None):
    return doc["question"] + " One of:\\n" + "\\n".join(doc["multi-choice options"]) + "\\nLetter: "


def to_text_cn(doc, lmms_eval_specific_kwargs=None):
    return doc["question"] + " 下面:\\n" + "\\n".join(doc["multi-choice options"]) + "\\n字母： "
""",
}


def write_tasks(root: Path) -> Path:
    """A folder of tasks in lmms-eval's form, with its client of servers beside it."""
    files = {f"tasks/{name}": text for name, text in TASKS.items()} | {"models/simple/openai.py": CLIENT}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root / "tasks"


DATASETS = """
import string
import pandas as pd


class ImageMCQDataset(ImageBaseDataset):
    def build_prompt(self, line):
        if isinstance(line, int):
            line = self.data.iloc[line]
        if self.meta_only:
            path = toliststr(line["image_path"])
        else:
            path = self.dump_image(line)
        options = {cand: line[cand] for cand in string.ascii_uppercase if cand in line and not pd.isna(line[cand])}
        prompt = f"Asked: {line['question']}\\n"
        if len(options):
            for key, item in options.items():
                prompt += f"[{key}] {item}\\n"
            prompt += "Choose. \\n"
        msgs = []
        if isinstance(path, list):
            msgs.extend([dict(type="image", value=p) for p in path])
        else:
            msgs = [dict(type="image", value=path)]
        msgs.append(dict(type="text", value=prompt))
        return msgs


class CVBench(ImageMCQDataset):
    def build_prompt(self, line):
        return [dict(type="image", value=self.dump_image(line)), dict(type="text", value=line["prompt"])]


class MMERealWorld(ImageMCQDataset):
    SYS = {"MME-RealWorld": "One letter.", "MME-RealWorld-Lite": "One letter.", "MME-RealWorld-CN": "一个字母。"}

    def load_data(self, dataset="MME-RealWorld", repo="somebody/mme"):
        def write_table(folder):
            lines = []
            for name in os.listdir(folder):
                with open(name) as file:
                    for item in tqdm(json.load(file)):
                        head = "One of:\\n" if dataset in ["MME-RealWorld", "MME-RealWorld-Lite"] else "下面:\\n"
                        lines.append({
                            "question": item["question"],
                            "multi-choice options": head + "\\n".join(item["multi-choice options"]),
                            "A": item["multi-choice options"][0][4:],
                        })
            pd.DataFrame(lines).to_csv("table.tsv", sep="\\t")

        if dataset == "MME-RealWorld-Lite":
            data = self.prepare_tsv("https://somewhere/lite.tsv")
            head = "One of:\\n"
            for index, item in data.iterrows():
                options = eval(item["multi-choice options"])
                data.loc[index, "multi-choice options"] = head + "\\n".join(options)
            return data
        write_table(snapshot_download(repo))
        return load("table.tsv")

    def build_prompt(self, line):
        question = line["question"]
        question += " " + line["multi-choice options"] + "\\n" + self.SYS[self.dataset_name]
        return [dict(type="text", value=question)]
"""
WRAPPER = """
class OpenAIWrapper(BaseAPI):
    def __init__(self, model: str = "m", temperature: float = 0, max_tokens: int = 2048, **kwargs):
        self.model = model
"""


def write_vlmevalkit(root: Path) -> Path:
    for name, text in {"dataset/image_mcq.py": DATASETS, "api/gpt.py": WRAPPER}.items():
        (root / "vlmeval" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "vlmeval" / name).write_text(text)
    return root
