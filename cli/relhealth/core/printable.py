"""Make text from data safe to print on one line, without control and format characters."""

import unicodedata

# Joiners of emoji and of Indic and Persian words: they shape text and cannot harm a terminal.
_JOINERS = "\u200c\u200d"
_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def printable(text: str) -> str:
    r"""Return ``text`` with unsafe characters written as escapes (``\n``, ``\x1b``, ``\u202e``)."""
    if text.isprintable():
        return text
    return "".join(
        char
        if char in _JOINERS or unicodedata.category(char) not in _UNSAFE
        else char.encode("unicode_escape").decode()
        for char in text
    )


def excerpt(text: str, most: int = 60) -> str:
    """Return ``text`` printable on one line, and cut to about ``most`` characters."""
    shown = printable(text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"
