"""What computes components: one interface, one registry, and one place that chooses."""

AUTO = "auto"  # the best engine for the question
ENGINES = ("duckdb", "kernel", "rollup")
