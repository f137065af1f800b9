"""The command line: one file a command, its shared options, and the error boundary."""
