"""Layouts: one module per kind of answer."""
