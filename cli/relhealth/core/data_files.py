"""What the names of files and folders say of the data in them."""

PARQUET = (".parquet", ".parq", ".pq")  # in small letters


def may_be_parquet(path: str) -> bool:
    """Return whether a file's name ends like one of Parquet."""
    return path.lower().endswith(PARQUET)


def is_hidden(name: str) -> bool:
    """Return whether writers of data sets use a name for logs, ledgers or unfinished files."""
    return name.startswith(".") or (name.startswith("_") and "=" not in name)
