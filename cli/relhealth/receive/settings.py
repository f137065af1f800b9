"""What a receiver is told when it starts."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from relhealth.core.errors import QuestionError
from relhealth.core.printable import printable
from relhealth.ingest.mapping import Words
from relhealth.receive.keys import Keys
from relhealth.receive.limits import Limits
from relhealth.receive.upstream import Target

_MOST_PORT = 65_535


class Address(NamedTuple):
    """Where to listen; port 0 is any free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        """Return it as in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address_of(option: str, text: str) -> Address:
    """Return the address of ``HOST:PORT``; raises ``QuestionError``."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= _MOST_PORT):
        raise QuestionError(
            f"{option} {printable(text)}: expected HOST:PORT, such as 127.0.0.1:8090 or [::1]:8090"
        )
    return Address(host, int(port))


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a receiver; sizes are in bytes, times in seconds."""

    dataset: Path
    listen: Address
    keys: Keys = field(default_factory=Keys)
    forward: Target | None = None
    forward_limits: bool = False  # pass the rate limits of upstream on to SDKs
    forward_bytes: int = 64_000_000  # in the queue
    every: float = 30.0  # between two ingests
    keep_days: int = 90
    spool_bytes: int = 1_000_000_000
    metrics_listen: Address | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    access_log: bool = False
    org: int | None = None
    dimensions: Mapping[str, str] = field(default_factory=dict)
    memory_limit: str | None = None
    limits: Limits = field(default_factory=Limits)

    def check(self) -> None:
        """Raise ``QuestionError`` for settings that let anybody in, or contradict each other."""
        if not self.listen.is_loopback and not self.keys:
            raise QuestionError(
                f"--listen {self.listen}: other machines can send there, so a key is required; add"
                " --key or --keys, or listen on 127.0.0.1"
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            raise QuestionError("--tls-cert and --tls-key need each other")
        Words(dimensions=self.dimensions).check()
        if self.forward is None and self.forward_limits:
            raise QuestionError("--forward-limits needs --forward")
