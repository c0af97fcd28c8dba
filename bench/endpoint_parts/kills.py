"""kill -9 at random moments, then resume."""

import random
import signal
import time
from dataclasses import dataclass
from typing import Any

from bench.endpoint_parts.client import Work, run_client, start
from bench.endpoint_parts.serving import Served


@dataclass(frozen=True)
class Killed:
    """`in_flight`: calls at the server when each kill came, added up. `runs`: of the client, the last one whole."""

    kills: int
    in_flight: int
    result: dict[str, Any]


def run_with_kills(told: Work, server: Served, kills: int, seed: int = 0, most_calls: int = 60) -> Killed:
    """Run `told`; kill -9 the client `kills` times, each after a random number of calls and a random pause; resume.

    A client is frozen (SIGSTOP) while the server is asked for what is in flight, and then killed. A client
    that ends before its kill ends the series: `kills` of the outcome says how many there were.
    """
    chance = random.Random(seed)
    done = in_flight = 0
    while done < kills:
        until = server.counts()["received"] + chance.randint(1, most_calls)
        with start(told) as client:
            while client.poll() is None and server.counts()["received"] < until:
                time.sleep(0.003)
            time.sleep(chance.uniform(0.0, 0.03))
            if client.poll() is not None:
                break
            client.send_signal(signal.SIGSTOP)
            in_flight += server.counts()["in_flight"]
            client.kill()
        done += 1
    return Killed(done, in_flight, run_client(told))
