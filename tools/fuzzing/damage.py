"""Kinds of damage: functions from the bytes of a whole file, and a source of chance, to the bytes of a damaged one."""

import json
import random
from collections.abc import Callable

Damage = Callable[[bytes, random.Random], bytes]


def truncate(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def flip_bytes(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 4, 16, 256))):
        changed[draw.randrange(len(changed))] ^= draw.randrange(1, 256)
    return bytes(changed)


def flip_header(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8))):
        place = draw.randrange(min(len(changed), draw.choice((16, 64, 256, 1024))))
        changed[place] = draw.choice((0, 0xFF, 0x7F, 0x80, draw.randrange(256)))
    return bytes(changed)


def cut_front(data: bytes, draw: random.Random) -> bytes:
    return data[draw.randrange(1, len(data)) :]


def zero_run(data: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(data))
    length = min(draw.choice((1, 16, 512, len(data) // 4 + 1, len(data))), len(data) - start)
    return data[:start] + bytes(length) + data[start + length :]


def duplicate_chunk(data: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(data))
    chunk = data[start : start + draw.choice((1, 64, 4096, len(data)))]
    place = draw.randrange(len(data) + 1)
    return data[:place] + chunk + data[place:]


DAMAGES: tuple[Damage, ...] = (truncate, flip_bytes, flip_header, cut_front, zero_run, duplicate_chunk)

# What nobody expects in the place of a value. The last one is no JSON, but brackets without end.
_ODD = [
    None, True, -1, 0, 1, 2**31, 2**63, 10**30, -0.0, 1e308, float("inf"), float("nan"), "", "..", "../../etc/passwd",
    "/etc/passwd", "a\0b", "\ud800", "x" * 5000, "\u2028", "%s{0}", [], {}, [[]], {"": {}},
]  # fmt: skip
_DEEP = "[" * 100_000


def change_value(data: bytes, draw: random.Random) -> bytes:
    """Of a file of JSON, or of JSON lines: a value becomes an odd one, a key goes, or brackets go on without end."""
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
