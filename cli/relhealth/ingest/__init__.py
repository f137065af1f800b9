"""Ingest: session metrics from what SDKs, pipelines and logs emit, into a data set."""
