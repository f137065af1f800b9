"""The result of a rollup command laid out for rendering."""

from dataclasses import asdict

from relhealth.core.units import Unit
from relhealth.core.version import __version__
from relhealth.core.words import counted
from relhealth.output.report import JSON_FORMAT, Column, Report, Table
from relhealth.rollup.build import Made


def rollup_report(made: Made) -> Report:
    """Lay out the work of a run."""
    data = asdict(made)
    shown = {name: value for name, value in data.items() if name != "why"}
    columns = tuple(Column(name, Unit.COUNT, name.replace("_", " ").capitalize()) for name in shown)
    removed = f", {made.days_removed:,} removed" if made.days_removed else ""
    share = ""
    if made.raw_bytes:
        share = f" ({made.rollup_bytes / made.raw_bytes:.0%} of the raw files)"
    return Report(
        meta={"format": JSON_FORMAT, "command": "rollup", "relhealth": __version__},
        data=data,
        tables=(Table("Rollup", columns, [shown], tuple(shown)),),
        summary=f"{counted(made.days_made, 'day')} made, {made.days_kept:,} kept{removed},"
        f" {counted(made.rollup_bytes, 'byte')}{share}",
        warnings=_warnings(made),
    )


def _warnings(made: Made) -> tuple[str, ...]:
    found = []
    if made.why is not None and made.why != "asked for":
        found.append(f"all days rebuilt: {made.why}")
    if made.invalid_rows:
        found.append(f"{counted(made.invalid_rows, 'invalid row')}; kept as they are")
    return tuple(found)
