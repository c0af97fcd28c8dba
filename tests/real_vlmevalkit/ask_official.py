"""What VLMEvalKit asks about one made record of each benchmark, as JSON. Its data alone is replaced: downloads.

python ask_official.py RECORDS.json      # by the data set's name: its class and its record; $LMUData: a folder
"""

import importlib
import json
import os
import sys
from pathlib import Path

import huggingface_hub
import pandas as pd

place = Path(os.environ["LMUData"])  # noqa: SIM112
module = importlib.import_module("vlmeval.dataset.image_mcq")
base = importlib.import_module("vlmeval.dataset.image_base")
huggingface_hub.snapshot_download = lambda **_: str(place)
module.get_cache_path = lambda repo: None
base.ImageBaseDataset.prepare_tsv = lambda self, url, md5=None: pd.read_csv(
    place / f"{self.dataset_name}.tsv", sep="\t"
)

asked = {}
for name, (owner, record) in json.loads(Path(sys.argv[1]).read_text()).items():
    (place / name).mkdir()
    (place / name / "records.json").write_text(json.dumps([record]))
    if owner != "MMERealWorld" or name.endswith("Lite"):  # the others make a table of their JSON themselves
        pd.DataFrame([record]).to_csv(place / f"{name}.tsv", sep="\t", index=False)
    messages = getattr(module, owner)(name).build_prompt(0)
    asked[name] = "".join(message["value"] for message in messages if message["type"] == "text")
(place / "asked.json").write_text(json.dumps(asked))
