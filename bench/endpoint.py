"""What the endpoint layer is measured by; the parts are in bench/endpoint_parts/.

`python bench/endpoint.py` runs all parts (about ten minutes on 2 cores) and `python bench/endpoint.py PART ...`
some; each merges its keys into bench/results/endpoint.json. Servers and clients are processes of their
own on 127.0.0.1. `--scale 0.02` is for trying the bench itself: it prints and writes nothing.

    bound     wall time over N·L/C + L_max, images of 300 KB, at C = 64 and 256; queueing, and saying 429
    serial    one thread per image, samples one after another, over ours
    memory    peak resident memory at 5 000 and 20 000 requests with images of 300 KB
    replay    20 000 replies from the store, and from the archive
    faults    10 000 requests with 30 % faults: lost, invented, paid twice
    kills     kill -9 at 20 random moments
    upload    requests and bytes from a voted question to a train row
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from bench.endpoint_parts import space, speed, trust, upload  # noqa: E402 - needs the path
from bench.result import merge_result, note_code  # noqa: E402
from r2i.core.metrics import rounded  # noqa: E402

RESULT = ROOT / "bench" / "results" / "endpoint.json"
PARTS = {
    "bound": speed.bound,
    "serial": speed.serial,
    "memory": space.memory,
    "replay": space.replay,
    "faults": trust.faults,
    "kills": trust.kills,
    "upload": upload.upload,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all, unless named")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the work; below 1 nothing is written")
    told = parser.parse_args()
    for name in ("R2I_STORE", "R2I_REPLIES", "DVC_ROOT", "OPENAI_API_KEY"):
        os.environ.pop(name, None)
    code = note_code(*(ROOT / "bench" / "endpoint_parts").glob("*.py"))
    with tempfile.TemporaryDirectory() as scratch:  # shared: `replay` reads what `memory` stored
        for name in told.parts or PARTS:
            began = time.perf_counter()
            values = rounded(PARTS[name](Path(scratch), told.scale), digits=3)
            print(f"{name}, {time.perf_counter() - began:.0f} s: {json.dumps(values, indent=1)}", flush=True)
            if told.scale >= 1:
                values |= {"cores": os.cpu_count(), "machine": platform.machine()}
                merge_result(RESULT, values, code, name, PARTS)


if __name__ == "__main__":
    main()
