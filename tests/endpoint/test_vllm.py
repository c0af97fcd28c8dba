"""A server that r2i starts: it comes up, its death is noticed, and nothing of it outlives the stage."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from r2i.core.errors import EndpointError
from r2i.core.params import Endpoint
from r2i.endpoint.launch import server_command
from r2i.endpoint.vllm import TRIES, VllmServer

STAND_IN = [sys.executable, str(Path(__file__).parent / "stand_in.py")]
ROOT = Path(__file__).parents[2]
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")


class Bench:
    """One stand-in server and what it was told."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.told = folder, folder / "log", folder / "told.json"
        self.server = self.make()

    def params(self, trouble: str = "", **more: object) -> Endpoint:
        flags = ["--told", str(self.told), "--trouble", trouble]
        settings = {"kind": "vllm", "model": "lab/tiny", "command": STAND_IN, "flags": flags, "start_timeout_s": 20}
        return Endpoint.model_validate(settings | more)

    def make(self, trouble: str = "", **more: object) -> VllmServer:
        self.server = VllmServer(self.params(trouble, **more), self.log)
        return self.server

    def note(self) -> dict[str, object]:
        return json.loads(self.told.read_text())

    def pids(self) -> list[int]:
        return json.loads(self.told.read_text())["pids"]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name in ("VLLM_API_KEY", "TEACHER_KEY", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    bench = Bench(tmp_path)
    yield bench
    bench.server.stop()


def alive(pid: int) -> bool:
    """A process that has ended and that nobody has asked for its exit code is not alive."""
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return found.stdout.strip()[:1] not in ("", "Z")


def wait_for(what: Callable[[], bool], within_s: float = 8.0) -> None:
    end = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def wait_gone(pids: list[int], within_s: float = 8.0) -> None:
    wait_for(lambda: not any(alive(pid) for pid in pids), within_s)


def test_it_is_started_once_and_stopped_with_its_children(bench: Bench) -> None:
    url = bench.server.start()
    assert bench.server.start() == url
    bench.server.check()
    assert bench.note()["starts"] == 1
    assert url.startswith("http://127.0.0.1:") and url.endswith("/v1")
    header, first, *_ = bench.log.read_text().strip().splitlines()
    assert header.startswith("=== 20") and "stand_in.py lab/tiny --host 127.0.0.1" in header
    assert first == "loading lab/tiny"
    assert all(alive(pid) for pid in bench.pids())
    bench.server.stop()
    assert not any(alive(pid) for pid in bench.pids())
    bench.server.stop()
    bench.server.check()


def test_it_can_be_started_again_and_its_log_is_added_to(bench: Bench) -> None:
    bench.server.start()
    bench.server.stop()
    bench.server.start()
    os.kill(bench.pids()[0], signal.SIGKILL)
    wait_for(lambda: not bench.server._launch.alive())  # type: ignore[union-attr]
    bench.server.start()
    assert bench.note()["starts"] == 3
    assert bench.log.read_text().count("===") == 3


def test_the_command_line_names_port_model_and_image_folder_and_ends_with_the_flags(tmp_path: Path) -> None:
    params = Endpoint(kind="vllm", model="lab/tiny", image_folder=str(tmp_path), flags=["--dtype", "float32"])
    assert server_command(params, 81) == [
        *("vllm", "serve", "lab/tiny", "--host", "127.0.0.1", "--port", "81", "--served-model-name", "lab/tiny"),
        *("--allowed-local-media-path", str(tmp_path), "--dtype", "float32"),
    ]


def test_the_key_goes_by_the_environment_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_KEY", "sk-secret")
    monkeypatch.setenv("VLLM_API_KEY", "of another server")
    monkeypatch.setenv("OPENAI_API_KEY", "of another service")
    bench.make(api_key_env="TEACHER_KEY").start()
    assert bench.note()["key"] == "sk-secret" and bench.note()["foreign"] == []
    shown = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(bench.told) in shown  # the server's line is among them
    assert "sk-secret" not in shown + bench.log.read_text()
    bench.server.stop()
    bench.make().start()
    assert bench.note()["key"] is None


def test_a_server_that_breaks_is_quoted_without_its_key(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_KEY", "sk-secret")
    with pytest.raises(EndpointError) as caught:
        bench.make("broken", api_key_env="TEACHER_KEY").start()
    cause = caught.value.cause
    assert "exit code 3" in cause and "stand_in.py lab/tiny" in cause
    assert "further up in its log: ValueError: the key *** and the flags don't go together" in cause
    assert "File 26\n" in cause and "File 39" in cause and "File 25\n" not in cause  # the last 15 of 41
    assert "\x1b" not in cause and "\\x1b[2J" in cause
    assert str(bench.log) in caught.value.remedy
    assert "sk-secret" not in str(caught.value)
    wait_gone(bench.pids())


def test_a_missing_program_is_named_with_what_to_install(bench: Bench) -> None:
    with pytest.raises(EndpointError, match="vllm-not-here serve") as caught:
        bench.make(command=["vllm-not-here", "serve"]).start()
    assert "overrides.txt" in caught.value.remedy
    assert not bench.log.exists()


def test_a_program_that_cannot_be_run_is_named(bench: Bench, tmp_path: Path) -> None:
    program = tmp_path / "vllm"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    with pytest.raises(EndpointError, match=r"exit code 127.*(?s:.*)can't be run: No such file"):
        bench.make(command=[str(program)]).start()


def test_a_log_that_cannot_be_written_is_named(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EndpointError, match="can't be started"):
        VllmServer(bench.params(), tmp_path / "file" / "log").start()


def test_a_server_that_gets_never_healthy_is_stopped(bench: Bench) -> None:
    server = bench.make("loading", start_timeout_s=2.5)
    with pytest.raises(EndpointError, match=r"not healthy in 2.5 s(?s:.*)GET /health") as caught:
        server.start()
    assert "start_timeout_s" in caught.value.remedy
    assert not any(alive(pid) for pid in bench.pids())


def test_a_port_that_was_taken_meanwhile_is_changed(bench: Bench) -> None:
    bench.make("taken once").start()
    assert bench.note()["starts"] == 2
    first, second = (
        line.split("--port ")[1].split()[0] for line in bench.log.read_text().splitlines() if "===" in line
    )
    assert first != second


def test_ports_that_are_always_taken_are_an_error(bench: Bench) -> None:
    with pytest.raises(EndpointError, match="Address already in use"):
        bench.make("taken").start()
    assert bench.note()["starts"] == TRIES


@pytest.mark.parametrize("trouble", ["loading", "silent"])
def test_stop_ends_a_start_at_once(bench: Bench, trouble: str) -> None:
    server = bench.make(trouble)
    ended: list[tuple[float, str]] = []

    def start() -> None:
        with pytest.raises(EndpointError) as caught:
            server.start()
        ended.append((time.monotonic(), str(caught.value)))

    thread = threading.Thread(target=start)
    thread.start()
    wait_for(lambda: bench.told.exists() and "GET" in bench.log.read_text() + ("GET" * (trouble == "silent")))
    began = time.monotonic()
    server.stop()
    thread.join(5)
    assert ended[0][0] - began < 0.5
    assert "stopped while it started" in ended[0][1]
    assert not any(alive(pid) for pid in bench.pids())


def test_a_server_that_dies_is_noticed_and_its_children_are_stopped(bench: Bench) -> None:
    bench.server.start()
    os.kill(bench.pids()[0], signal.SIGKILL)
    wait_for(lambda: not bench.server._launch.alive())  # type: ignore[union-attr]
    with pytest.raises(EndpointError, match=r"exit code 137 \(signal 9\)(?s:.*)loading lab/tiny") as caught:
        bench.server.check()
    assert "GET /health" in bench.log.read_text()
    assert "GET /health" not in caught.value.cause  # calls that went well say nothing about its end
    assert str(bench.log) in caught.value.remedy
    assert not any(alive(pid) for pid in bench.pids())


STAGE = """
import json, os, sys, time
from r2i.endpoint.vllm import VllmServer
from r2i.core.params import Endpoint
from pathlib import Path
server = VllmServer(Endpoint.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
server.start()
if sys.argv[3] == "forked" and os.fork() == 0:  # holds the pipe to the guard open
    Path(sys.argv[4]).write_text(str(os.getpid()))
    time.sleep(300)
print("ready", flush=True)
if sys.argv[3] == "exit":
    sys.exit()
time.sleep(300)
"""


def start_stage(bench: Bench, way: str, trouble: str = "") -> subprocess.Popen[str]:
    told = [bench.params(trouble).model_dump_json(), str(bench.log), way, str(bench.folder / "fork")]
    stage = subprocess.Popen(
        [sys.executable, "-c", STAGE, *told], stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    )
    assert stage.stdout is not None and stage.stdout.readline() == "ready\n"
    return stage


@pytest.mark.parametrize("way", ["killed", "forked", "exit"])
def test_nothing_outlives_a_stage_that_is_gone(bench: Bench, way: str) -> None:
    with start_stage(bench, way) as stage:
        pids = bench.pids()
        if way != "exit":
            assert all(alive(pid) for pid in pids)
            stage.kill()
        stage.wait(5)
        wait_gone(pids)
    if way == "forked":
        os.kill(int((bench.folder / "fork").read_text()), signal.SIGKILL)


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(bench: Bench) -> None:
    with start_stage(bench, "killed") as stage:
        stage_group, pids = os.getpgid(stage.pid), bench.pids()
        assert os.getsid(pids[0]) != os.getsid(stage.pid)
        assert stage_group not in [os.getpgid(pid) for pid in pids]
        stage.kill()
        wait_gone(pids)


@linux_only
def test_a_process_that_left_the_group_is_stopped_too(bench: Bench) -> None:
    bench.make("stray").start()
    server, worker, stray = bench.pids()
    assert os.getpgid(stray) == stray != os.getpgid(worker) == os.getpgid(server)
    bench.server.stop()
    assert not any(alive(pid) for pid in (server, worker, stray))


@linux_only
def test_a_killed_guard_takes_the_server_with_it(bench: Bench) -> None:
    bench.server.start()
    launch = bench.server._launch
    assert launch is not None
    launch.guard.kill()
    launch.guard.wait()
    wait_gone(bench.pids()[:1])
    with pytest.raises(EndpointError, match=r"exit code -9 \(signal 9\)"):
        bench.server.check()
    os.kill(bench.pids()[1], signal.SIGKILL)  # of a stand-in, which doesn't stop its child


def test_what_ignores_term_is_killed(bench: Bench) -> None:
    # the guard with a grace of half a second in place of ten
    code = "import sys; from r2i.endpoint import guard; guard.GRACE_S = 0.5; guard.main(int(sys.argv[1]), sys.argv[2:])"
    params = bench.params("deaf")
    guard = [sys.executable, "-c", code, str(os.getpid()), *server_command(params, 0)]
    with subprocess.Popen(guard, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=ROOT) as running:
        wait_for(bench.told.exists)
        time.sleep(0.3)  # for both to become deaf
        began = time.monotonic()
        assert running.stdin is not None
        running.stdin.close()
        running.wait(8)
        assert time.monotonic() - began > 0.5
    assert not any(alive(pid) for pid in bench.pids())


def test_the_log_lies_beside_the_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    server = VllmServer(Endpoint(kind="vllm", model="Qwen/Qwen3-VL-8B-Instruct"))
    assert server.log == tmp_path / ".r2i" / "logs" / "vllm-Qwen-Qwen3-VL-8B-Instruct.log"
