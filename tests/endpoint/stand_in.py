"""A stand-in for `vllm serve`, which it is called like: healthy in a moment, with a child process as vLLM has.

`--trouble` makes it fail in one of the ways that servers do; `--told FILE` is where it writes what it was told.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SLEEP = [sys.executable, "-c", "import time; time.sleep(300)"]
DEAF = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"]


class Health(BaseHTTPRequestHandler):
    trouble = ""

    def do_GET(self) -> None:
        if self.trouble == "silent":
            time.sleep(300)
        self.send_response(503 if self.trouble == "loading" or self.path != "/health" else 200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        print(format % args, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    for name in ("--host", "--port", "--served-model-name", "--allowed-local-media-path", "--trouble", "--told"):
        parser.add_argument(name, default="")
    args = parser.parse_args()
    told = Path(args.told)
    starts = json.loads(told.read_text())["starts"] + 1 if told.exists() else 1
    children = start_children(args.trouble)
    note = {"pids": [os.getpid(), *children], "argv": sys.argv, "key": os.environ.get("VLLM_API_KEY"), "starts": starts}
    note["foreign"] = [name for name in os.environ if name.startswith("OPENAI_")]
    told.with_suffix(".part").write_text(json.dumps(note))
    told.with_suffix(".part").replace(told)
    print(f"loading {args.model}", flush=True)
    if args.trouble == "broken":
        print(f"ValueError: the key {os.environ.get('VLLM_API_KEY')} and the flags don't go together")
        print("\n".join(f"  \x1b[31mFile {i}\x1b[0m" for i in range(40)), flush=True)
        print("\x1b[2J")
        sys.exit(3)
    if args.trouble == "taken" or (args.trouble == "taken once" and starts == 1):
        sys.exit("OSError: [Errno 98] Address already in use")
    if args.trouble == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Health.trouble = args.trouble
    server = ThreadingHTTPServer((args.host, int(args.port)), Health)
    threading.Thread(target=server.serve_forever).start()


def start_children(trouble: str) -> list[int]:
    """A worker in the same group; for `stray` one that has left group, session and parent."""
    worker = subprocess.Popen(DEAF if trouble == "deaf" else SLEEP)
    if trouble != "stray":
        return [worker.pid]
    parent = (
        "import subprocess, sys; "
        "print(subprocess.Popen(sys.argv[1:], start_new_session=True, stdout=subprocess.DEVNULL).pid)"
    )
    left = subprocess.run([sys.executable, "-c", parent, *SLEEP], stdout=subprocess.PIPE, text=True, check=True)
    return [worker.pid, int(left.stdout)]


if __name__ == "__main__":
    main()
