"""Listing a data set while it changes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from relhealth.datasets.ledger import LEDGER, pending_path, settled

if TYPE_CHECKING:
    from pathlib import Path


def test_a_change_that_begins_and_ends_during_a_listing_is_seen(tmp_path: Path) -> None:
    """Nothing is pending before and after, but the listing may have half of the files."""
    (tmp_path / LEDGER).mkdir()
    os.utime(tmp_path / LEDGER, ns=(10**9, 10**9))
    listings = iter([["half"], ["all"]])

    def listing() -> list[str]:
        found = next(listings)
        if found == ["half"]:
            with open(pending_path(str(tmp_path)), "w", encoding="utf-8"):
                pass
            os.unlink(pending_path(str(tmp_path)))
        return found

    assert settled(str(tmp_path), listing) == ["all"]


def test_a_folder_without_a_ledger_is_just_listed(tmp_path: Path) -> None:
    assert settled(str(tmp_path), lambda: ["a"]) == ["a"]
