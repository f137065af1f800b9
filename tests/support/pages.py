"""Pages to look at: the lines that make one of each kind, and names that are markup and code."""

from __future__ import annotations

from places import ROOT

SAMPLE = str(ROOT / "sample_data")
BAD, FORMER = "com.example.shop@3.9.0+4296", "com.example.shop@3.8.1+4282"
LINES = {
    "overview": ["overview", SAMPLE],
    "release": ["release", SAMPLE, BAD],
    "compare": ["compare", SAMPLE, FORMER, BAD],
    "gate": ["gate", SAMPLE, "-r", BAD, "--target", "99.5", "--critical", "98", "--period", "7d"],
    "status": ["status", SAMPLE],
}
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "\"><img src=x onerror='alert(3)'>",
    "{{ 7 * 191 }}${alert(4)}",
    "]]></svg><svg onload=alert(5)>",
    "&lt;b&gt;\u202e\x1b[31m",
)
