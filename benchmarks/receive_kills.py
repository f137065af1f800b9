"""Kill `relhealth receive` at random moments under load, and see whether anything is lost.

    pip install -e '.[test]'
    python benchmarks/receive_kills.py
    python benchmarks/receive_kills.py --kills 20 --seed 7

Eight clients send sessions; the receiver is killed and started again on the same data set. Then
what was not acknowledged is sent again, as an SDK does, and a part of what was. Ends with 1 unless
every session is in the data set exactly once.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

from receivers import AUTH, Counted, Receiver, counted, receiving

CLIENTS = 8
STARTED = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def envelope(number: int) -> bytes:
    """Return an envelope with one session, of which each third crashed."""
    item = {
        "sid": f"{number:032x}",
        "init": True,
        "started": STARTED,
        "status": "exited" if number % 3 else "crashed",
        "did": f"user-{number % 1000}",
        "attrs": {"release": "shop@1.0.0"},
    }
    return b'{}\n{"type":"session"}\n' + json.dumps(item).encode()


class Load:
    """Clients that send until the receiver is killed."""

    def __init__(self, first: int) -> None:
        """Number sessions from ``first`` on."""
        self.next, self.lock = first, threading.Lock()
        self.sent: set[int] = set()
        self.acknowledged: set[int] = set()

    def send(self, receiver: Receiver) -> None:
        """Send one session after another over one connection."""
        connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=30)
        try:
            while True:
                with self.lock:
                    number = self.next
                    self.next += 1
                    self.sent.add(number)
                connection.request("POST", "/api/1/envelope/", envelope(number), AUTH)
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:  # noqa: PLR2004 - OK
                    with self.lock:
                        self.acknowledged.add(number)
        except (OSError, http.client.HTTPException):
            return  # killed
        finally:
            connection.close()


def main() -> int:
    """Kill, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--longest", type=float, default=2.5, help="seconds until a kill")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    chance, load = random.Random(given.seed), Load(0)  # noqa: S311 - no secret
    torn, began = 0, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="receive-kills-") as folder:
        dataset = Path(folder) / "data"
        for turn in range(given.kills):
            with receiving(dataset, "--every", "1s") as receiver:
                clients = [
                    threading.Thread(target=load.send, args=(receiver,)) for _ in range(CLIENTS)
                ]
                for client in clients:
                    client.start()
                time.sleep(chance.uniform(0.0, given.longest))
                receiver.process.kill()
                receiver.process.wait()
                for client in clients:
                    client.join()
            torn += sum(not path.read_bytes().endswith(b"\n") for path in spooled(dataset))
            if turn % 20 == 19:  # noqa: PLR2004 - a line now and then
                print(f"{turn + 1} kills, {len(load.acknowledged):,} acknowledged", flush=True)
        again = sorted(load.sent - load.acknowledged) + sorted(load.acknowledged)[::97]
        with receiving(dataset) as receiver:
            connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=30)
            for number in again:
                connection.request("POST", "/api/1/envelope/", envelope(number), AUTH)
                answer = connection.getresponse()
                assert (answer.read(), answer.status) == (b"{}", 200)
            connection.close()
        found, left = counted(dataset), len(spooled(dataset))
    crashed = sum(not number % 3 for number in load.sent)
    users = len({number % 1000 for number in load.sent})
    wanted = Counted(len(load.sent), crashed, crashed, users)
    print(f"{given.kills} kills in {time.monotonic() - began:.0f} s; {torn} torn files")
    print(f"acknowledged before a kill {len(load.acknowledged):,}, of {len(load.sent):,} sent")
    print(f"wanted  {wanted}\nfound   {found}")
    print(f"lost {max(0, wanted.sessions - found.sessions)}", end=", ")
    print(f"doubled {max(0, found.sessions - wanted.sessions)}, spool files left {left}")
    return 0 if wanted == found and not left else 1


def spooled(dataset: Path) -> list[Path]:
    """Return the files of a spool."""
    return sorted((dataset / "_spool").glob("*.envelopes"))


if __name__ == "__main__":
    sys.exit(main())
