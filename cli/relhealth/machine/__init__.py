"""The machine: memory, threads, spilling, locks, and the DuckDB connection with its limits."""
