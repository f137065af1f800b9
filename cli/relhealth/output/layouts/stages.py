"""The words for adoption stages in tables."""

from collections.abc import Mapping

STAGES: Mapping[str, str] = {
    "adopted": "adopted",
    "low_adoption": "low",
    "replaced": "replaced",
}
