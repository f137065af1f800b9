"""Old names of parameters, which still work but warn."""

import warnings
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

_Asked = ParamSpec("_Asked")
_Answer = TypeVar("_Answer")


def interval_was_rollup(ask: Callable[_Asked, _Answer]) -> Callable[_Asked, _Answer]:
    """Accept ``rollup``, the old name of ``interval``, for one more version."""

    @wraps(ask)
    def asked(*args: _Asked.args, **kwargs: _Asked.kwargs) -> _Answer:
        if "rollup" in kwargs:
            warnings.warn(
                "the parameter rollup is called interval now", DeprecationWarning, stacklevel=2
            )
            kwargs["interval"] = kwargs.pop("rollup")
        return ask(*args, **kwargs)

    return asked
