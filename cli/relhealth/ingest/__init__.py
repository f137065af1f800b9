"""From what SDKs, pipelines and tables emit to a data set."""
