"""What the real sentry-sdk sends, and the examples of the real schemas of Relay's messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
import sentry_kafka_schemas
import sentry_sdk
from sentry_sdk.sessions import track_session
from sentry_sdk.transport import Transport

from command import run
from relhealth.datasets.contract import SESSION_METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentry_sdk.envelope import Envelope


class Capturing(Transport):
    """Appends envelopes to a file."""

    path: Path

    def capture_envelope(self, envelope: Envelope) -> None:
        """Append one."""
        with self.path.open("ab") as file:
            envelope.serialize_into(file)


@pytest.fixture
def sent(tmp_path: Path) -> Iterator[Path]:
    """The file that envelopes go to; the SDK is left as it was."""
    Capturing.path = tmp_path / "sent.envelope"
    yield Capturing.path
    sentry_sdk.init()


def start(release: str, environment: str | None, *, tracking: bool = False) -> None:
    """Begin a process of a release."""
    sentry_sdk.init(
        dsn="https://public@example.invalid/1",
        release=release,
        environment=environment,
        transport=Capturing,
        default_integrations=False,
        auto_session_tracking=tracking,
    )


def application_session(
    user: str | None, status: Literal["crashed", "abnormal"] | None = None, errors: int = 0
) -> None:
    """Run an application once."""
    with sentry_sdk.isolation_scope() as scope:
        scope.set_user({"id": user} if user else None)
        scope.start_session(session_mode="application")
        session = scope._session  # noqa: SLF001 - the SDK has no other way to end in a crash
        assert session is not None
        for _ in range(errors):
            sentry_sdk.capture_exception(ValueError("handled"))
        if status is not None:
            session.update(status=status)
        scope.end_session()


def requests(exited: int, errored: int) -> None:
    """Serve requests."""
    for number in range(exited + errored):
        with sentry_sdk.isolation_scope() as scope, track_session(scope, session_mode="request"):
            if number < errored:
                sentry_sdk.capture_exception(ValueError("handled"))


def overview(sent: Path, tmp_path: Path, *options: str) -> dict[str, dict[str, Any]]:
    """Ingest what was sent; return each release's figures."""
    sentry_sdk.flush()
    sentry_sdk.get_client().close()
    result = run("ingest", str(sent), "--to", str(tmp_path / "data"), "-p", "1", "--strict")
    assert result.code == 0, result.err
    result = run("overview", str(tmp_path / "data"), "--now", "latest", "-f", "json", *options)
    assert result.code == 0, result.err
    return {row["release"]: row for row in json.loads(result.out)["data"]}


def test_application_sessions(sent: Path, tmp_path: Path) -> None:
    start("shop@1.0.0", "production")
    application_session("a")
    application_session("a", errors=2)
    application_session("b", status="crashed")
    application_session("c", status="abnormal")
    application_session(None)
    sentry_sdk.get_client().close()
    start("shop@1.1.0", "staging")
    application_session("a")
    found = overview(sent, tmp_path)
    old, new = found["shop@1.0.0"], found["shop@1.1.0"]
    # 5 sessions: one with errors, one crashed, one abnormal; users a, b and c.
    assert (old["total_sessions"], old["total_users"]) == (5, 3)
    assert (old["sessions_errored"], old["sessions_crashed"], old["sessions_abnormal"]) == (1, 1, 1)
    assert (old["sessions_healthy"], old["users_crashed"]) == (2, 1)
    assert old["crash_free_sessions"] == 80
    assert old["crash_free_users"] == pytest.approx(200 / 3)
    assert (new["total_sessions"], new["total_users"], new["crash_free_users"]) == (1, 1, 100)
    assert old["total_project_users_24h"] == 3
    assert new["adoption"] == pytest.approx(100 / 3)
    assert old["duration_p50"] is not None
    assert overview_names(tmp_path, "-e", "staging") == ["shop@1.1.0"]


def overview_names(tmp_path: Path, *options: str) -> list[str]:
    """Return the releases of an overview."""
    asked = ("--now", "latest", "-f", "jsonl", *options)
    result = run("overview", str(tmp_path / "data"), *asked)
    return [json.loads(line)["release"] for line in result.out.splitlines()]


def test_requests_come_aggregated(sent: Path, tmp_path: Path) -> None:
    start("web@3.0.0", "production", tracking=True)
    requests(exited=7, errored=3)
    (row,) = overview(sent, tmp_path).values()
    assert (row["total_sessions"], row["total_users"]) == (10, None)
    assert (row["sessions_errored"], row["sessions_healthy"]) == (3, 7)
    assert b'"aggregates"' in sent.read_bytes()


def examples() -> list[dict[str, Any]]:
    """Return the schemas' examples of Relay's metrics."""
    folder = Path(sentry_kafka_schemas.__file__).parent / "examples" / "ingest-metrics"
    return [json.loads(file.read_text()) for file in sorted(folder.rglob("*.json"))]


def test_every_example_of_the_schemas_is_read(tmp_path: Path) -> None:
    """Their instants are made up, so they get one of a session."""
    found = examples()
    ours = [one for one in found if one["name"] in SESSION_METRICS]
    assert ours
    lines = [json.dumps(one | {"timestamp": 1_772_452_805}) for one in found]
    source = tmp_path / "in.jsonl"
    source.write_text("\n".join(lines))
    asked = ("--now", "2026-03-02T12:30:00Z", "--from", "buckets", "-f", "json")
    result = run("ingest", str(source), "--to", str(tmp_path / "data"), *asked)
    assert result.code == 0
    told = json.loads(result.out)["data"]
    assert told["accepted"] == {"bucket": len(ours)}
    assert sum(told["passed_over"].values()) == len(found) - len(ours)
    assert told["rejected"] == {}
