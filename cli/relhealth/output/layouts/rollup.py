"""The result of a rollup command laid out for rendering."""

from dataclasses import asdict

from relhealth.core.words import counted
from relhealth.output.report import Report, counts_table, meta_of
from relhealth.rollup.build import Made


def rollup_report(made: Made) -> Report:
    """Lay out the work of a run."""
    data = asdict(made)
    shown = {name: value for name, value in data.items() if name != "why"}
    removed = f", {made.days_removed:,} removed" if made.days_removed else ""
    share = ""
    if made.raw_bytes:
        share = f" ({made.rollup_bytes / made.raw_bytes:.0%} of the raw files)"
    return Report(
        meta=meta_of("rollup"),
        data=data,
        tables=(counts_table("Rollup", shown),),
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
