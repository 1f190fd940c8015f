"""Defines the kinds of damage: functions that take a file's bytes and a random generator, and return damaged bytes."""

import json
import random
from collections.abc import Callable

Damage = Callable[[bytes, random.Random], bytes]


def truncate(data: bytes, draw: random.Random) -> bytes:
    """Cuts off the end."""
    return data[: draw.randrange(len(data))]


def flip_bytes(data: bytes, draw: random.Random) -> bytes:
    """Changes 1 to 256 bytes anywhere."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 4, 16, 256))):
        changed[draw.randrange(len(changed))] ^= draw.randrange(1, 256)
    return bytes(changed)


def flip_header(data: bytes, draw: random.Random) -> bytes:
    """Changes 1 to 8 bytes near the beginning."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8))):
        place = draw.randrange(min(len(changed), draw.choice((16, 64, 256, 1024))))
        changed[place] = draw.choice((0, 0xFF, 0x7F, 0x80, draw.randrange(256)))
    return bytes(changed)


def cut_front(data: bytes, draw: random.Random) -> bytes:
    """Cuts off the beginning."""
    return data[draw.randrange(1, len(data)) :]


def zero_run(data: bytes, draw: random.Random) -> bytes:
    """Overwrites a part with zeros."""
    start = draw.randrange(len(data))
    length = min(draw.choice((1, 16, 512, len(data) // 4 + 1, len(data))), len(data) - start)
    return data[:start] + bytes(length) + data[start + length :]


def duplicate_chunk(data: bytes, draw: random.Random) -> bytes:
    """Inserts a copy of a part somewhere else."""
    start = draw.randrange(len(data))
    chunk = data[start : start + draw.choice((1, 64, 4096, len(data)))]
    place = draw.randrange(len(data) + 1)
    return data[:place] + chunk + data[place:]


DAMAGES: tuple[Damage, ...] = (truncate, flip_bytes, flip_header, cut_front, zero_run, duplicate_chunk)

# Unexpected values for JSON. `_DEEP` is not JSON, but a long row of brackets that are never closed.
_ODD = [
    None, True, -1, 0, 1, 2**31, 2**63, 10**30, -0.0, 1e308, float("inf"), float("nan"), "", "..", "../../etc/passwd",
    "/etc/passwd", "a\0b", "\ud800", "x" * 5000, "\u2028", "%s{0}", [], {}, [[]], {"": {}},
]  # fmt: skip
_DEEP = "[" * 100_000


def change_value(data: bytes, draw: random.Random) -> bytes:
    """Damages JSON or JSON lines: replaces a value by an odd one or by unclosed brackets, or removes a key."""
    lines = data.decode().splitlines() if b"\n{" in data.strip() or data.count(b"\n") <= 1 else [data.decode()]
    number = draw.randrange(len(lines))
    found = json.loads(lines[number])
    node, key = found, draw.choice(list(found))
    while isinstance(node[key], dict) and node[key] and draw.random() < 0.7:
        node = node[key]
        key = draw.choice(list(node))
    if draw.random() < 0.15:
        del node[key]
        lines[number] = json.dumps(found)
    elif draw.random() < 0.1:
        node[key] = "deep"
        lines[number] = json.dumps(found).replace('"deep"', _DEEP)
    else:
        node[key] = draw.choice(_ODD)
        lines[number] = json.dumps(found)
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")
