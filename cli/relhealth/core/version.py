"""The version of relhealth."""

__version__ = "0.1.0"
