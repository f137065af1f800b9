"""Text from data on one line of a terminal: what is escaped, what is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relhealth.core.printable import printable

ANY_TEXT = st.text(st.characters())  # lone surrogates too: file names hold them


@pytest.mark.parametrize(
    "text",
    [
        "",
        "shop@1.0.0+build-5",
        " two  spaces ",
        'it\'s "quoted" \\n',
        "café 健康 ٣",
        "🚀 👩\u200d🔬",  # a joiner shapes the emoji
        "नि\u200dत",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u00a0",
    ],
)
def test_harmless_text_is_left_alone(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb", r"a\nb"),
        ("a\r\tb", r"a\r\tb"),
        ("a\x00b", r"a\x00b"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x7f\x9b", r"\x7f\x9b"),  # C1: an escape sequence's start in one character
        ("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d"),
        ("a\u202eb", r"a\u202eb"),  # right-to-left override
        ("a\u200bb\ufeffc\u00add", r"a\u200bb\ufeffc\xadd"),
        ("\udcff.parquet", r"\udcff.parquet"),
        ("健康\n", r"健康\n"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_unsafe_characters_are_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected


@given(text=ANY_TEXT)
def test_any_text_becomes_one_writable_line(text: str) -> None:
    safe = printable(text)
    safe.encode()
    assert len(safe.splitlines()) <= 1
    assert not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in safe)
    assert printable(safe) == safe


@given(text=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_plain_ascii_is_left_alone(text: str) -> None:
    assert printable(text) == text
