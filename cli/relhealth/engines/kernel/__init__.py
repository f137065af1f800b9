"""The kernel: one pass over plain Parquet files, in bounded memory.

Its rows are those of the templates in ``queries/``, to the last bit.
"""
