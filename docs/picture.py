"""Remake the README's picture: the real table of the sample data, as a terminal shows it."""

import io
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME

from relhealth import ReleaseHealth
from relhealth.output.formats import table
from relhealth.output.layouts.overview import overview_report

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "overview.svg"
WIDTH = 120
COMMAND = "relhealth overview sample_data --now latest"


def picture() -> str:
    """Return the picture as SVG; the same data and versions give the same bytes."""
    with ReleaseHealth(ROOT / "sample_data") as health:
        found = health.overview(now="latest")
    report = overview_report(found, grouped=True)
    console = Console(
        file=io.StringIO(), record=True, width=WIDTH, force_terminal=True, color_system="truecolor"
    )
    console.print(f"$ {COMMAND}", highlight=False)
    table.write(report, console, width=WIDTH)
    return console.export_svg(
        title="relhealth",
        theme=SVG_EXPORT_THEME,
        code_format=_without_web_fonts(CONSOLE_SVG_FORMAT),
        unique_id="relhealth",
    )


def _without_web_fonts(template: str) -> str:
    """Drop the font faces that a viewer would fetch: any monospace font will do."""
    start = template.index("@font-face")
    end = template.index(".{unique_id}-matrix")
    return template[:start] + template[end:]


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
