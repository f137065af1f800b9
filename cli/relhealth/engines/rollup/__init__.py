"""The engine that reads the pre-aggregation beside a data set."""
