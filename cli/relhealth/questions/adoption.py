"""The adoption of releases: their shares of the sessions and users of the last 24 hours."""

from datetime import datetime
from typing import Any

from relhealth.core.scope import ProjectRelease, Scope
from relhealth.engines import components
from relhealth.engines.interface import Ask
from relhealth.questions import merge
from relhealth.questions.asking import Asking

_ASKED = (components.ADOPTION, components.HEALTH_DATA)


def adoption(
    asking: Asking,
    now: datetime,
    pairs: tuple[ProjectRelease, ...],
    environments: tuple[str, ...] | None,
) -> dict[ProjectRelease, dict[str, Any]]:
    """Return the adoption of each pair that was seen in the last 90 days."""
    scope = Scope.resolve(now, environments=environments).narrowed_to(pairs)
    asking.check(scope)
    rows, health_data = asking.answer([Ask(one, scope) for one in _ASKED])
    adopted, seen = merge.Adoption.of(rows), merge.by_pair(health_data)
    return {pair: adopted.figures(pair) for pair in pairs if pair in seen}
