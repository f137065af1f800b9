"""The rollup: an exact pre-aggregation beside a data set, made by ``relhealth rollup``."""
