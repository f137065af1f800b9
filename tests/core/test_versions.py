"""The order of releases: tables in their order, and laws of order for any text."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relhealth.core.versions import release_key

LONG = "9" * 5_000

ORDERED = {
    "the example of semver.org, item 11": [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
    ],
    "the numbers of item 11": ["1.0.0", "2.0.0", "2.1.0", "2.1.1"],
    "numbers and not text": ["shop@1.2", "shop@1.9", "shop@1.10", "shop@1.100", "shop@2"],
    "leading zeros": ["shop@1.08", "shop@1.9", "shop@1.010"],
    "fewer numbers are older": ["shop@1.0.0", "shop@1.0.1", "shop@1.1", "shop@2"],
    "four numbers": ["shop@1.2.3", "shop@1.2.3.1", "shop@1.2.3.4", "shop@1.2.3.10", "shop@1.2.4"],
    "pre-releases come before their release": [
        "shop@0.9.9",
        "shop@1.0.0-rc.1",
        "shop@1.0.0",
        "shop@1.0.1-alpha",
        "shop@1.0.1",
    ],
    "numeric identifiers are numbers and come first": [
        "1.0.0-2",
        "1.0.0-10",
        "1.0.0-1a",
        "1.0.0-a",
    ],
    "hyphens in a pre-release": ["1.0.0-a-1", "1.0.0-a-b", "1.0.0"],
    "capitals come first, as in ASCII": ["1.0.0-RC", "1.0.0-alpha", "1.0.0-rc"],
    "builds of one version": [
        "shop@1.0.0",
        "shop@1.0.0+9",
        "shop@1.0.0+10",
        "shop@1.0.0+10.1",
        "shop@1.0.0+abc",
    ],
    "a build beside a pre-release": ["1.0.0-rc.1+5", "1.0.0-rc.2", "1.0.0-rc.2+1", "1.0.0+1"],
    "packages first, then versions": ["alpha@9.0", "beta@1.0", "beta@2.0", "gamma@0.1"],
    "the last @ divides": ["@scope/app@1.9", "@scope/app@1.10"],
    "a leading v": ["app@v1.9", "app@v1.10", "app@1.11"],
    "text comes last, as text": [
        "app@1.0",
        "zoo@9.9",
        "4f9a1c0",
        "app@",
        "app@1.0.0.0.0",
        "app@1.x",
        "main",
    ],
    "digits without end are text": ["app@1", "app@999999999999999999", f"app@{LONG}"],
}


@pytest.mark.parametrize("releases", ORDERED.values(), ids=ORDERED.keys())
def test_order(releases: list[str]) -> None:
    shuffled = Random(1).sample(releases, len(releases))
    assert sorted(shuffled, key=release_key) == releases
    keys = [release_key(release) for release in releases]
    assert all(earlier < later for earlier, later in pairwise(keys))


@pytest.mark.parametrize("digits", [18, 19, 400, 5_000])
def test_long_digits_in_an_identifier_are_no_trouble(digits: int) -> None:
    """Also where Python refuses to make a number of them."""
    key = release_key(f"app@1.0.0-{'1' * digits}+{'2' * digits}")
    assert release_key("app@1.0.0-alpha+5") != key
    assert key < release_key("app@1.0.0")


names = st.one_of(
    st.text(),
    st.from_regex(
        r"([a-z]{0,2}@)?v?[0-9]{1,20}(\.[0-9]{1,3}){0,4}(-[0-9a-zA-Z.-]{1,5})?(\+[0-9a-zA-Z.]{1,5})?",
        fullmatch=True,
    ),
    st.text(alphabet="01.-+@av٣² \n", max_size=12),
)


@given(a=names, b=names, c=names)
def test_any_names_have_one_order(a: str, b: str, c: str) -> None:
    """A total order: one of <, ==, > for any two, the same for the same name alone, transitive."""
    key_a, key_b, key_c = release_key(a), release_key(b), release_key(c)
    assert (key_a < key_b) + (key_a == key_b) + (key_a > key_b) == 1
    assert (key_a == key_b) == (a == b)
    if key_a < key_b < key_c:
        assert key_a < key_c


@given(names=st.lists(names, unique=True))
def test_order_does_not_depend_on_where_a_name_stood(names: list[str]) -> None:
    backwards = names[::-1]
    assert sorted(names, key=release_key) == sorted(backwards, key=release_key)


def test_a_hostile_name_is_quick() -> None:
    """No pattern that tries every way to split a name: this would take until tomorrow."""
    assert release_key("1" + ".1-a" * 50_000 + "\n")[0] == 1
