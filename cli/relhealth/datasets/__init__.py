"""Parquet files: the data contract, finding, checking, reading and sealing them."""
