"""Makes the pre-aggregation of a data set."""
