"""A replay of the gate laid out for rendering."""

from relhealth.core.printable import printable
from relhealth.core.units import Unit
from relhealth.core.version import __version__
from relhealth.core.windows import iso
from relhealth.core.words import counted
from relhealth.gate.replay import Replay, Replayed
from relhealth.gate.verdict import Verdict
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


def gate_test_report(replay: Replay, *, origin: str) -> Report:
    """Lay out one row per release; ``origin`` names the policy's file or its substitute."""
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
    warnings = [
        f"{counted(count, 'invalid row')} left out: {reason}"
        for reason, count in replay.invalid_rows.items()
    ]
    if not rows:
        warnings.append("no release was first seen since then; name one with --release")
    return Report(
        meta={
            "format": JSON_FORMAT,
            "command": "gate test",
            "relhealth": __version__,
            "now": iso(replay.now),
            "since": iso(replay.since),
            "every": replay.every,
            "policy": origin,
            "period": replay.policy.period,
            "sources": {"files": replay.files},
            "invalid_rows": sum(replay.invalid_rows.values()),
            "invalid_reasons": dict(replay.invalid_rows),
        },
        data=rows,
        tables=(table,),
        summary=f"{counted(len(rows), 'release')}{': ' if tally else ''}{tally}",
        warnings=tuple(warnings),
        records=Table(
            title=table.title,
            columns=tuple(Column(name, unit, name) for name, unit in _FIELDS.items()),
            rows=rows,
            stable=tuple(_FIELDS),
        ),
        notes=tuple(
            f"{_OUTCOMES[row.outcome]}: {row.project_id}/{printable(row.release)}:"
            f" {row.reason or 'first seen after the last look'}"
            for row in replay.rows
        ),
    )


def _row(row: Replayed) -> dict[str, object]:
    hours = None
    if row.decided is not None:
        hours = (row.decided - row.first_seen).total_seconds() / 3_600
    return {
        "project_id": row.project_id,
        "release": row.release,
        "outcome": _OUTCOMES[row.outcome],
        "first_seen": iso(row.first_seen),
        "decided": None if row.decided is None else iso(row.decided),
        "hours": hours,
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
