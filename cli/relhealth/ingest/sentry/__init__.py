"""Sentry's sessions API: hours of counted sessions, read into a data set a day at a time."""
