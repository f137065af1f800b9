"""The engine that answers from the pre-aggregation beside a data set."""
