r"""The answer to a shell that asks what can be at the cursor.

The scripts of ``shells`` ask with ``_RELHEALTH_COMPLETE`` set to the name of the shell, and the
words up to the cursor as arguments; bash, which cuts words at ``@`` and ``:``, with its line. The
answer is a candidate a line, with a tab and what it is for zsh and fish; or ``files``: complete a
path. Whatever goes wrong, the answer is nothing.
"""

import os
import sys
from collections.abc import Iterator, Sequence

VARIABLE = "_RELHEALTH_COMPLETE"
FILES = "files"
# What bash reads in a word as other than itself.
_SPECIAL = frozenset(" \t\"'\\$`|&;<>()*?[]{}!#~")
_ENDS = frozenset(";|&()\n")  # of a command


def tell(arguments: Sequence[str]) -> None:
    """Print the answer."""
    try:
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
        for line in _answer(os.environ[VARIABLE], arguments):
            print(line)  # noqa: T201
        sys.stdout.flush()
    except Exception:  # noqa: BLE001, S110 - a shell has no place for a message
        pass


def _answer(shell: str, arguments: Sequence[str]) -> Iterator[str]:
    from relhealth.completion.candidates import candidates

    word = None
    words = list(arguments)
    if shell == "bash":
        line, breaks = arguments
        of_line = list(_words(line, breaks))
        word = of_line[-1]
        words = [one.text for one in of_line[1:]]
    found = candidates(words)
    if found is None:
        yield FILES
        return
    for text, about in found:
        if text.isprintable():
            if word is None:
                yield f"{text}\t{about}" if about else text
            elif text.startswith(word.before):
                yield from word.ended(text)


class _Word:
    """A word of a line of bash: its text, and how bash goes on with it."""

    def __init__(self) -> None:
        self.text = ""
        self.before = ""  # its part before the last place where bash cuts it
        self.quote = ""  # an open one
        self.begun = False

    def ended(self, text: str) -> Iterator[str]:
        """Yield what bash can put behind the place where it cut the word."""
        rest = text[len(self.before) :]
        if not self.quote:
            yield "".join(f"\\{char}" if char in _SPECIAL else char for char in rest)
        elif self.quote == '"':
            yield "".join(f"\\{char}" if char in '"\\$`' else char for char in rest)
        elif "'" not in rest:
            yield rest

    def add(self, char: str, breaks: str) -> None:
        """Add a character, or see that it begins or ends a quote."""
        self.begun = True
        if char in {"'", '"'} and self.quote in {"", char}:
            self.quote = "" if self.quote else char
            if self.quote:
                self.before = self.text
            return
        if char in breaks and not self.quote:  # Readline keeps the @ of hosts with what follows
            self.before = self.text if char == "@" else self.text + char
        self.text += char


def _words(line: str, breaks: str) -> Iterator[_Word]:
    """Yield the words of the last command of a line; the last is that at its end."""
    found: list[_Word] = []
    word = _Word()
    chars = iter(line)
    for char in chars:
        if char == "\\" and word.quote != "'":
            word.text += next(chars, "")
            word.begun = True
        elif word.quote or not (char.isspace() or char in _ENDS):
            word.add(char, breaks)
        else:
            if word.begun:
                found.append(word)
            if char in _ENDS:
                found.clear()
            word = _Word()
    while found and "=" in found[0].text.partition("/")[0]:  # VARIABLE=VALUE before the command
        found.pop(0)
    yield from found
    yield word
