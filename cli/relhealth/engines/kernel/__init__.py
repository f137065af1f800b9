"""The kernel: figures by group in one pass over plain Parquet files, in bounded memory.

What it answers is what the templates of ``queries/`` answer, row for row.
"""
