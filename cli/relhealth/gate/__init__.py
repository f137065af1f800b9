"""The gate: policies, metrics, bounds and verdicts; replays and comparisons."""
