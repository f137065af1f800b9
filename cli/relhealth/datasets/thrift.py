"""Thrift's compact protocol, the format of Parquet's footers and page headers."""

from typing import Any

Struct = dict[int, Any]  # by the ids of the fields

_TRUE, _FALSE, _BYTE, _I16, _I64, _BINARY, _STRUCT = 1, 2, 3, 4, 6, 8, 12
_MOST_DEPTH = 24
_MOST_VARINT = 10  # bytes
_MORE = 0x80  # the bit that says that more bytes follow
_LONG_LIST = 15


class MalformedError(ValueError):
    """The bytes are not a valid struct."""


def parse(data: bytes, at: int = 0) -> tuple[Struct, int]:
    """Return the struct at a place in some bytes, and where it ends.

    Raises ``MalformedError``. Sizes in the bytes cannot make it use more memory than their length.
    """
    try:
        return _struct(data, at, 0)
    except IndexError:
        raise MalformedError("it ends too early") from None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    if byte < _MORE:
        return byte, at + 1
    value, shift, end = byte & 0x7F, 7, at + _MOST_VARINT
    while byte >= _MORE:
        at += 1
        if at == end:
            raise MalformedError("a number is too long")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        shift += 7
    return value, at + 1


def _struct(data: bytes, at: int, depth: int) -> tuple[Struct, int]:
    if depth > _MOST_DEPTH:
        raise MalformedError("it is too deep")
    found: Struct = {}
    field = 0
    while head := data[at]:
        at += 1
        step, kind = head >> 4, head & 15
        if step:
            field += step
        else:
            number, at = _varint(data, at)
            field = number >> 1 ^ -(number & 1)
        if field in found:
            raise MalformedError("a field comes twice")
        # Most fields are numbers of one or two bytes, and short texts. Without a call, these take
        # half the time.
        number = data[at] if kind != _STRUCT else _MORE
        if _I16 <= kind <= _I64 and (number < _MORE or data[at + 1] < _MORE):
            at += 1
            if number >= _MORE:
                number = number & 0x7F | data[at] << 7
                at += 1
            found[field] = number >> 1 ^ -(number & 1)
        elif kind == _BINARY and number < _MORE:
            at += 1
            found[field] = data[at : at + number]
            at += number
            if at > len(data):
                raise MalformedError("it ends too early")
        else:
            found[field], at = _value(data, at, kind, depth)
    return found, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if _I16 <= kind <= _I64:
        number, at = _varint(data, at)
        return number >> 1 ^ -(number & 1), at
    if kind == _STRUCT:
        return _struct(data, at, depth + 1)
    if kind == _BINARY:
        length, at = _varint(data, at)
        return _bytes(data, at, length)
    match kind:
        case 1 | 2:
            return kind == _TRUE, at
        case 3:
            return data[at], at + 1
        case 7:
            return _bytes(data, at, 8)
        case 9 | 10:
            return _list(data, at, depth + 1)
        case _:
            raise MalformedError(f"a field is of type {kind}")


def _bytes(data: bytes, at: int, length: int) -> tuple[bytes, int]:
    if at + length > len(data):
        raise MalformedError("it ends too early")
    return data[at : at + length], at + length


def _list(data: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    if depth > _MOST_DEPTH:
        raise MalformedError("it is too deep")
    head = data[at]
    at += 1
    count, kind = head >> 4, head & 15
    if count == _LONG_LIST:
        count, at = _varint(data, at)
    if count > len(data) - at:  # an element has at least one byte
        raise MalformedError("a list is too long")
    found = []
    for _ in range(count):
        one, at = _value(data, at, _BYTE if kind <= _FALSE else kind, depth)
        found.append(one)
    return found, at
