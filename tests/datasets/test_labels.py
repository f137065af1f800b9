"""Labels of rows: their kinds and places, and which values are valid."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from relhealth.datasets import labels
from relhealth.datasets.labels import COUNTERS, KINDS, STATUSES, USERS, WIDTH, Place


def texts(*words: str | None) -> pa.DictionaryArray:
    return pa.array(words, pa.string()).dictionary_encode()


def kind(metric: int, status: str, mechanism: str = "") -> int:
    return (
        metric * WIDTH + labels.MECHANISMS.index(mechanism) * len(STATUSES) + STATUSES.index(status)
    )


def test_kinds() -> None:
    columns = {
        "metric": texts(
            "c:sessions/session@none", "s:sessions/user@none", "s:sessions/user@none", "x", None
        ),
        "session_status": texts("init", "abnormal", "Crashed", "init", None),
        "abnormal_mechanism": texts(None, "anr_foreground", "x", None, None),
    }
    found = labels.kinds(columns).tolist()
    assert found[:3] == [
        kind(COUNTERS, "init"),
        kind(USERS, "abnormal", "anr_foreground"),
        kind(USERS, ""),
    ]
    assert all(KINDS <= other < labels.END_OF_KINDS for other in found[3:])
    assert labels.kinds(columns, wanted={USERS})[0] >= KINDS
    del columns["metric"]
    assert labels.kinds(columns, metric=COUNTERS)[0] == kind(COUNTERS, "init")


@pytest.mark.parametrize("far", [0, 10**6], ids=["near ids", "far ids"])
def test_places(far: int) -> None:
    """Ids are looked up in a table or sorted; nulls are places too."""
    columns = {
        "release": texts("a", None, "", "b", "a"),
        "environment": texts("", None, "prod", "prod", ""),
        "project_id": pa.array([7, 8, None, 7 + far, 7]),
        "org_id": pa.array([1, 1, 1, 1, 1]),
    }
    expected = [
        Place(1, 7, "a", ""),
        Place(1, 8, "", ""),
        Place(1, None, "", "prod"),
        Place(1, 7 + far, "b", "prod"),
        Place(1, 7, "a", ""),
    ]
    places, owner = labels.places(columns)
    assert [places[one] for one in owner] == expected
    names = {"release": columns["release"]}
    places, owner = labels.places(names, project=5)
    assert {places[one] for one in owner} == {Place(None, 5, name, "") for name in ("a", "", "b")}


def test_a_text_that_is_not_in_its_dictionary() -> None:
    bad = pa.DictionaryArray.from_arrays(pa.array([0, 9]), pa.array(["init"]), safe=False)
    with pytest.raises(ValueError, match="not in its dictionary"):
        labels.kinds({"metric": texts("x", "x"), "session_status": bad})


def test_counters() -> None:
    found = labels.counters(np.array([0.0, -0.0, 1.0, 2.0**32]))
    assert found.numbers.tolist() == [0, 0, 1, 2**32]
    assert found.in_range is found.valid is None
    found = labels.counters(np.array([3.0, 0.5, -1.0, 2.0**32 + 1, math.inf, math.nan]))
    assert found.numbers.tolist() == [3, 0, 0, 0, 0, 0]
    assert found.in_range is not None
    assert found.in_range.tolist() == [True, True, *[False] * 4]
    assert found.valid is not None
    assert found.valid.tolist() == [True, *[False] * 5]


def test_durations() -> None:
    given = np.array([0.0, -0.0, 1e300, -1e-300, math.inf, math.nan])
    assert labels.durations(given).tolist() == [True, True, True, False, False, False]


def test_a_null_value_is_invalid() -> None:
    columns = {"value": pa.array([2.0, None, 4.0])}
    assert labels.values(columns, np.array([1, 2])).tolist() == [-1.0, 4.0]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint8(), pa.int32(), pa.uint64()], ids=str)
def test_indices_of_every_type(kind: pa.DataType) -> None:
    """The index of null, 128, does not fit into 8 bits with a sign."""
    names = [str(number) for number in range(128)]
    given = pa.DictionaryArray.from_arrays(pa.array([0, None, 127], kind), pa.array(names))
    places, owner = labels.places({"release": given, "environment": given})
    assert [places[one][2:4] for one in owner] == [("0", "0"), ("", ""), ("127", "127")]
