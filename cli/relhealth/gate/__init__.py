"""The gate: a policy, the figures that it names, and an honest verdict."""
