"""A replay of the gate laid out for rendering."""

from dataclasses import asdict

from relhealth.core.printable import printable
from relhealth.core.units import Unit
from relhealth.core.version import __version__
from relhealth.core.windows import iso
from relhealth.core.words import counted
from relhealth.gate.replay import Replay, Replayed
from relhealth.gate.verdict import Verdict
from relhealth.gate.wording import percent_limit
from relhealth.output.layouts.scope import invalid_warnings
from relhealth.output.report import JSON_FORMAT, Column, Report, Table

_OUTCOMES = {Verdict.PASS: "pass", Verdict.FAIL: "fail", Verdict.INCONCLUSIVE: "waited"}
_COLUMNS = (
    Column("outcome", Unit.VERDICT, "Outcome"),
    Column("project_id", Unit.PROJECT, "Proj."),
    Column("release", Unit.RELEASE, "Release"),
    Column("first_seen", Unit.FIGURE, "First seen"),
    Column("hours", Unit.FIGURE, "After"),
    Column("first_pass", Unit.FIGURE, "First pass"),
    Column("first_fail", Unit.FIGURE, "First fail"),
    Column("last", Unit.VERDICT, "Last"),
    Column("looks", Unit.COUNT, "Looks"),
)
_TARGETS = (
    Column("target", Unit.FIGURE, "Target"),
    Column("passed", Unit.COUNT, "Pass"),
    Column("failed", Unit.COUNT, "Fail"),
    Column("waited", Unit.COUNT, "Wait"),
    Column("hours", Unit.FIGURE, "Decided after"),
)
_TARGET_FIELDS = {
    "target": Unit.PERCENT,
    "passed": Unit.COUNT,
    "failed": Unit.COUNT,
    "waited": Unit.COUNT,
    "hours": Unit.PERCENT,
}
_FIELDS = {
    "project_id": Unit.PROJECT,
    "release": Unit.RELEASE,
    "outcome": Unit.VERDICT,
    "first_seen": Unit.TEXT,
    "decided": Unit.TEXT,
    "hours": Unit.PERCENT,
    "reason": Unit.TEXT,
    "first_pass": Unit.TEXT,
    "first_fail": Unit.TEXT,
    "last": Unit.VERDICT,
    "looks": Unit.COUNT,
}


def gate_test_report(replay: Replay, *, origin: str | None) -> Report:
    """Lay out one row per release; ``origin`` is the policy's file, if there is one."""
    if replay.targets:
        return _by_target(replay, origin)
    rows = [_row(row) for row in replay.rows]
    tally = ", ".join(
        f"{number} {word}"
        for word in _OUTCOMES.values()
        if (number := sum(row["outcome"] == word for row in rows))
    )
    table = Table(
        title=f"Since {iso(replay.since)} · a look every {replay.every} · until {iso(replay.now)}",
        columns=_COLUMNS,
        rows=[_shown(row) for row in replay.rows],
        stable=tuple(column.name for column in _COLUMNS),
    )
    return Report(
        meta=_meta(replay, origin),
        data=rows,
        tables=(table,),
        summary=f"{counted(len(rows), 'release')}{': ' if tally else ''}{tally}",
        warnings=tuple(invalid_warnings(replay.invalid_rows)),
        records=Table(
            title=table.title,
            columns=tuple(Column(name, unit, name) for name, unit in _FIELDS.items()),
            rows=rows,
            stable=tuple(_FIELDS),
        ),
        notes=tuple(
            f"{_OUTCOMES[row.outcome]}: {row.project_id}/{printable(row.release)}:"
            f" {row.reason or _unseen(replay, row)}"
            for row in replay.rows
        ),
    )


def _unseen(replay: Replay, row: Replayed) -> str:
    """Return why no look judged a release."""
    if replay.as_arrived and row.first_seen < replay.now:
        return "no look saw it: its sessions had not arrived, or were older than the period"
    return "first seen after the last look"


def _row(row: Replayed) -> dict[str, object]:
    return {
        "project_id": row.project_id,
        "release": row.release,
        "outcome": _OUTCOMES[row.outcome],
        "first_seen": iso(row.first_seen),
        "decided": None if row.decided is None else iso(row.decided),
        "hours": row.hours,
        "reason": row.reason,
        "first_pass": None if row.first_pass is None else iso(row.first_pass),
        "first_fail": None if row.first_fail is None else iso(row.first_fail),
        "last": None if row.last is None else row.last.value,
        "looks": row.looks,
    }


def _shown(row: Replayed) -> dict[str, object]:
    told = _row(row)
    hours = told["hours"]
    return {
        **told,
        "first_seen": f"{row.first_seen:%Y-%m-%d %H:%M}",
        "hours": None if hours is None else f"{hours:,.0f} h",
        "first_pass": None if row.first_pass is None else f"{row.first_pass:%m-%d %H:%M}",
        "first_fail": None if row.first_fail is None else f"{row.first_fail:%m-%d %H:%M}",
    }


def _meta(replay: Replay, origin: str | None) -> dict[str, object]:
    return {
        "format": JSON_FORMAT,
        "command": "gate test",
        "relhealth": __version__,
        "now": iso(replay.now),
        "since": iso(replay.since),
        "every": replay.every,
        "as_arrived": replay.as_arrived,
        "policy": origin,
        "period": replay.policy.period,
        "sources": {"files": replay.files},
        "invalid_rows": sum(replay.invalid_rows.values()),
        "invalid_reasons": dict(replay.invalid_rows),
    }


def _by_target(replay: Replay, origin: str | None) -> Report:
    """Lay out one row per target."""
    rows = [asdict(row) for row in replay.targets]
    best = replay.recommended
    told = (
        "no release passes at any of these targets"
        if best is None
        else f"{best:.12g}% is the highest target at which as many releases pass as at any of these"
    )
    table = Table(
        title=f"Since {iso(replay.since)} · a look every {replay.every} · until {iso(replay.now)}",
        columns=_TARGETS,
        rows=[
            {
                **row,
                "target": percent_limit(row["target"]),
                "hours": None if row["hours"] is None else f"{row['hours']:,.0f} h",
            }
            for row in rows
        ],
        stable=tuple(column.name for column in _TARGETS),
    )
    return Report(
        meta={**_meta(replay, origin), "recommended": best},
        data=rows,
        tables=(table,),
        summary=told,
        warnings=tuple(invalid_warnings(replay.invalid_rows)),
        records=Table(
            title=table.title,
            columns=tuple(Column(name, unit, name) for name, unit in _TARGET_FIELDS.items()),
            rows=rows,
            stable=tuple(_TARGET_FIELDS),
        ),
        notes=(told,),
    )
