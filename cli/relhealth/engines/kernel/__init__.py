"""The kernel: the figures of releases in one pass over plain Parquet files, in bounded memory.

What it answers is what the templates of ``queries/`` answer, row for row; they serve every other
layout of files, and every other question.
"""

from relhealth.datasets.dictionaries import UnsupportedError
from relhealth.engines.kernel.question import Question
from relhealth.engines.kernel.rows import is_plain, newest_us
from relhealth.engines.kernel.scanning import Found, answer

__all__ = ["Found", "Question", "UnsupportedError", "answer", "is_plain", "newest_us"]
