"""The gate: policies, metrics, bounds and verdicts; plans, replays and comparisons."""
