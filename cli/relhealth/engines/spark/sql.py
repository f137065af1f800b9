"""The templates as Spark SQL: rewritten from DuckDB's, with typed parameters.

Spark has its own functions of instants, and takes the type of a parameter from its value, of which
a null and a list have none.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from relhealth.core.windows import to_epoch_us
from relhealth.machine import queries

if TYPE_CHECKING:
    from sqlglot import exp

VIEW = "metric_rows"
# How each parameter is bound, as SQL of its name; lists are bound as the text of a JSON list.
_INSTANT = "TIMESTAMP_MICROS(CAST(:{} AS BIGINT))"
_INTEGER = "CAST(:{} AS BIGINT)"
_FLAG = "CAST(:{} AS BOOLEAN)"
# FAILFAST: text that is no such list must not become a null, which means everything.
_LIST = "FROM_JSON(CAST(:{{}} AS STRING), 'ARRAY<{}>', MAP('mode', 'FAILFAST'))"
_BOUND = {
    "start": _INSTANT,
    "end": _INSTANT,
    "now": _INSTANT,
    "recent": _INSTANT,
    "interval": _INTEGER,
    "follow_up": _INTEGER,
    "by_project": _FLAG,
    "by_release": _FLAG,
    "by_environment": _FLAG,
    "projects": _LIST.format("BIGINT"),
    "releases": _LIST.format("STRING"),
    "environments": _LIST.format("STRING"),
    "statuses": _LIST.format("STRING"),
    # Numbers of JSON are not read to the last bit everywhere; texts are.
    "fractions": f"CAST({_LIST.format('STRING')} AS ARRAY<DOUBLE>)",
}


def statement(name: str, view: str) -> str:
    """Return a template as Spark SQL, over the relation of the name ``view``."""
    return _rewritten(name).replace(f"`{VIEW}`", f"`{view}`")


def bound(name: str, values: Mapping[str, object]) -> dict[str, Any]:
    """Return the values of a template's parameters, as ``statement`` binds them."""
    return {key: _value(values[key]) for key in sorted(queries.load(name).parameters)}


def _value(value: Any) -> Any:
    match value:
        case [float(), *_]:
            return json.dumps([repr(one) for one in value])
        case list():
            return json.dumps(value)
        case None | bool() | int():
            return value
        case _:
            return to_epoch_us(value)


@cache
def _rewritten(name: str) -> str:
    import sqlglot

    tree = sqlglot.parse_one(queries.load(name).sql, read="duckdb")
    return str(tree.transform(_for_spark).sql(dialect="spark", comments=False))


def _for_spark(node: "exp.Expression") -> "exp.Expression":
    """Return a part of a statement as Spark has it."""
    from sqlglot import exp

    match node:
        case exp.Placeholder() | exp.Parameter():
            return _sql(_BOUND[node.name].format(node.name))
        case exp.Table() if node.name == VIEW:
            return exp.to_table(f"`{VIEW}`", dialect="spark")
        case exp.Anonymous() if node.name.lower() == "epoch_us":
            return _micros(node.expressions[0])
        case exp.Anonymous() if node.name.lower() == "epoch":
            return _seconds(node.expressions[0])
        case exp.TimeToUnix() | exp.UnixSeconds():
            return _seconds(node.this)
        case _:
            return node


def _micros(instant: "exp.Expression") -> "exp.Expression":
    from sqlglot import exp

    return exp.Anonymous(this="UNIX_MICROS", expressions=[instant.transform(_for_spark)])


def _seconds(instant: "exp.Expression") -> "exp.Expression":
    """Return seconds with their fraction, which UNIX_TIMESTAMP cuts off."""
    from sqlglot import exp

    return exp.Paren(this=exp.Div(this=_micros(instant), expression=exp.Literal.number(1_000_000)))


def _sql(text: str) -> "exp.Expression":
    import sqlglot
    from sqlglot import exp

    found = sqlglot.parse_one(text, read="spark")
    assert isinstance(found, exp.Expression)
    return found
