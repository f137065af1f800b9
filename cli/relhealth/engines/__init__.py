"""What computes components: one interface, one registry, and one place that chooses."""
