"""Engines, which compute components: their interface, the registry and the choice of one."""

AUTO = "auto"  # the best engine for the question
ENGINES = ("duckdb", "kernel", "rollup", "spark")
