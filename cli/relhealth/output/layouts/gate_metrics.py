"""The outcome of a gate as metrics."""

from collections.abc import Callable

from relhealth.gate.metrics import Duration
from relhealth.gate.outcome import Check, Gate
from relhealth.gate.verdict import Verdict
from relhealth.output.report import Family, last_run

_Value = Callable[[Check], float | None]


def families(gate: Gate, origin: str | None) -> tuple[Family, ...]:
    """Return the metrics of a gate; ``origin`` is the policy's file, if there is one."""

    def labels(check: Check) -> dict[str, str]:
        environments = check.rule.environments
        return {
            **of_policy(origin),
            "project": str(check.project_id),
            "release": check.sample.release,
            "environment": "" if environments is None else ",".join(environments),
            "rule": str(check.number),
            "metric": check.metric.name,
        }

    def family(name: str, told: str, value: _Value, *, durations: bool) -> Family:
        rows = [(check, value(check)) for check in gate.checks]
        samples = tuple(
            (labels(check), found if durations else found / 100)
            for check, found in rows
            if found is not None and isinstance(check.metric, Duration) is durations
        )
        unit = "seconds" if durations else "ratio"
        return Family(f"relhealth_gate_{name}_{unit}", told, unit, samples)

    described: list[tuple[str, str, _Value]] = [
        (
            "observed",
            "The figure that a rule of the gate judges.",
            lambda check: check.sample.observed,
        ),
        ("lower", "The lower bound of the figure, one-sided.", lambda check: check.judgement.lower),
        ("upper", "The upper bound of the figure, one-sided.", lambda check: check.judgement.upper),
        ("target", "The target of the rule.", lambda check: check.rule.target),
    ]
    verdicts = Family(
        "relhealth_gate_check",
        "Whether the verdict of the rule is that of the label: 1 or 0.",
        "",
        tuple(
            ({**labels(check), "verdict": verdict.value}, float(check.verdict is verdict))
            for check in gate.checks
            for verdict in Verdict
        ),
    )
    figures = [
        family(*parts, durations=durations) for durations in (False, True) for parts in described
    ]
    verdict = of_gate(gate.verdict.value, origin)
    return (verdict, verdicts, *figures, last_run("gate", **of_policy(origin)))


def of_gate(verdict: str, origin: str | None) -> Family:
    """Return the metric of the verdict of the gate."""
    words = [*(one.value for one in Verdict), "error"]
    return Family(
        "relhealth_gate_verdict",
        "Whether the verdict of the gate is that of the label: 1 or 0.",
        "",
        tuple(({**of_policy(origin), "verdict": word}, float(word == verdict)) for word in words),
    )


def of_policy(origin: str | None) -> dict[str, str]:
    """Return the label of the policy: its file, if one was read."""
    return {} if origin is None else {"policy": origin}
