"""The page of an answer: one HTML file, its charts in it, that fetches nothing.

``content`` says what a page holds, ``history`` asks for the figures over time, ``charts`` describes
charts, ``answers`` fills the page of each command, and ``document`` writes it.
"""

from importlib.util import find_spec

from relhealth.core.errors import QuestionError

_NEEDED = ("jinja2", "vl_convert")


def check_installed() -> None:
    """Raise ``QuestionError`` if what draws pages is not installed; import nothing."""
    if any(find_spec(name) is None for name in _NEEDED):
        raise QuestionError("format html needs more packages: pip install 'relhealth[report]'")
