"""The folder of what relhealth keeps for the user to be faster; all of it can be removed."""

import os


def cache_folder() -> str:
    """Return the folder, by XDG_CACHE_HOME; it may not be there yet."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(os.path.realpath(home), "relhealth")
