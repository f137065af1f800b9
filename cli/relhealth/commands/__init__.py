"""The commands, one a file: parse, ask, render."""
