"""Builds the exported dataset class on made rows in ZoomBench's published columns, asks it and grades replies; what it
found as JSON. Runs where VLMEvalKit is installed, or where what stands for it is.

    python ask_zoombench.py EXPORT ROWS.parquet      # $LMUData: an empty folder
"""

import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path

import pandas as pd
from datasets import Dataset

export, rows = map(Path, sys.argv[1:])
place = Path(os.environ["LMUData"])  # noqa: SIM112
base = importlib.import_module("vlmeval.dataset.image_base")
spec = importlib.util.spec_from_file_location("vlmeval.dataset.zoombench", export / "zoombench.py")
assert spec is not None and spec.loader is not None
module = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = module
spec.loader.exec_module(module)

found = {}
for name, view in module.ZoomBench.VIEWS.items():
    published = Dataset.from_parquet(str(rows), cache_dir=str(place / "cache"))
    module.write_zoombench_tsv(published, view, str(place / f"{name}.tsv"))
    dataset = module.ZoomBench(name)
    prompts = [dataset.build_prompt(number) for number in range(len(dataset))]
    table = pd.DataFrame({"index": dataset.data["index"], "prediction": ["B", "None", "4", base.INFER_FAIL_MSG + "!"]})
    file = str(place / f"m_{name}.{os.environ['PRED_FORMAT']}")
    table.to_excel(file, index=False) if file.endswith("xlsx") else table.to_csv(file, sep="\t", index=False)
    found[name] = {
        "columns": list(dataset.data.columns),
        "types": [[part["type"] for part in prompt] for prompt in prompts],
        "pictures": [prompt[0]["value"] for prompt in prompts],
        "texts": [prompt[1]["value"] for prompt in prompts],
        "result": dataset.evaluate(file),
        "primary": getattr(dataset, "report_primary_metric", lambda result: {"Overall": result["Overall"]}),
    }
    found[name]["primary"] = found[name]["primary"](found[name]["result"])
(place / "found.json").write_text(json.dumps(found))
