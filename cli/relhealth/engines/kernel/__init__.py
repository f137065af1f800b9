"""The kernel: figures by group in one pass over plain Parquet files, in bounded memory.

What it answers is what the templates of ``queries/`` answer, row for row.
"""

from relhealth.datasets.dictionaries import UnsupportedError
from relhealth.engines.kernel.rows import is_plain, newest_us

__all__ = ["UnsupportedError", "is_plain", "newest_us"]
