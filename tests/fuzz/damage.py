"""What is done to a file: bytes, documents (JSON, TOML), places in a flatbuffer. Everything is drawn from one seeded generator."""

import copy
import json
import os
import struct
from random import Random

DEEP = 50_000
NUMBERS = (0, 1, 0x7F, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
ODD = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 0.5, -0.0, 1e-300, 1e308, "", " ", "x" * 300, "\x1b]0;t\x07\x1b[2J",
    "\u202egnp", "../outside/secret", "/etc/passwd", "..", ".", "a/b", "a\nb", "<script>alert(1)</script>", "]]>", "%s{}", "fp32",
    "int8", "float64", "NaN", [], {}, [[]], [0], [1, 2, 3], [1e9, 1e9], ["x"], {"x": 1}, [None] * 1000,
]  # fmt: skip


def changed_bytes(blob: bytes, random: Random) -> bytes:
    """A few bits, a stretch, a number, or the whole of it."""
    data = bytearray(blob)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        at = random.randrange(len(data) + 1)
        match random.randrange(9):
            case 0 | 1 | 2 if data:
                data[at % len(data)] ^= 1 << random.randrange(8)
            case 3:
                del data[at:]
            case 4:
                del data[at : at + random.choice((1, 4, 64))]
            case 5:
                data[at:at] = random.randbytes(random.choice((1, 4, 64)))
            case 6:
                data[at : at + 8] = struct.pack("<Q", random.choice(NUMBERS))[: random.choice((1, 2, 4, 8))]
            case 7:
                data[at : at + 16] = bytes([random.choice((0, 0xFF))]) * 16
            case 8:
                data[at:at] = data[at : at + random.choice((4, 256))]
    if random.random() < 0.03:
        data = bytearray(random.choice((b"", b"\0", b"\xff" * 100, b"PK\3\4" + bytes(50), b"{}", b"[" * DEEP)))
    return bytes(data)


def places(document: object, path: tuple = ()) -> list[tuple]:
    """Where in a document something stands."""
    inside = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    found = [path] if path else []
    for key, value in inside:
        found += places(value, (*path, key))
    return found


def changed_document(document: dict, random: Random) -> dict:
    """Another value, one thing less, or one more, in one to three places."""
    document = copy.deepcopy(document)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        there = places(document)
        if not there:
            break
        *path, last = random.choice(there)
        inside = document
        for key in path:
            inside = inside[key]
        odd = copy.deepcopy(random.choice(ODD))  # which the next change may change
        match random.randrange(6):
            case 0:
                del inside[last]
            case 1 if isinstance(inside, dict):
                inside[random.choice(("extra", "", "x" * 300, "../x", str(last).upper()))] = odd
            case _:
                inside[last] = odd
    return document


def changed_json(document: dict, random: Random) -> bytes:
    if random.random() < 0.25:
        return changed_bytes(json.dumps(document, indent=2).encode(), random)
    text = json.dumps(changed_document(document, random), indent=2)
    match random.randrange(20):
        case 0:
            text = text.replace(": ", ": " + random.choice(("[" * DEEP, "1e999, ", "NaN, ", "0x10, ")), 1)
        case 1:  # a key twice
            text = text.replace("{", '{"schema": 1, "schema": 2,', 1)
        case 2:
            return text.encode(random.choice(("utf-16", "utf-8-sig", "latin-1")), "replace")
    return text.encode("utf-8", "surrogatepass")


def put(path, blob: bytes, random: Random) -> None:
    """Write a file; now and then something else stands in its place."""
    path.unlink(missing_ok=True)
    match random.randrange(100):
        case 0:
            os.mkfifo(path)
        case 1:
            path.mkdir()
        case 2:
            path.symlink_to("/dev/zero")
        case 3:
            path.symlink_to("../../../outside/secret" if path.parent.name == "a" else "missing")  # see runner
        case 4:
            path.symlink_to(path.name)
        case _:
            path.write_bytes(blob)


def change_object(root: object, random: Random) -> None:
    """A field of one of the objects of an unpacked flatbuffer takes an odd value."""
    import numpy as np

    objects, todo = [], [root]
    while todo:
        one = todo.pop()
        if isinstance(one, list):
            todo += one
        elif getattr(one, "__dict__", None):
            objects.append(one)
            todo += vars(one).values()
    one = random.choice(objects)
    field = random.choice(list(vars(one)))
    old = getattr(one, field)
    if isinstance(old, np.ndarray):
        new = old.copy()
        if len(new) and random.random() < 0.7:
            limits = np.iinfo(new.dtype) if new.dtype.kind in "iu" else np.finfo(new.dtype)
            new[random.randrange(len(new))] = random.choice((0, 1, 100, limits.min, limits.max))
        else:
            new = np.resize(new, random.choice((0, 1, 5, 3000)))
    elif isinstance(old, bool):
        new = not old
    elif isinstance(old, int):
        new = random.choice((0, 1, 2, 3, 9, 17, 100, 127))
    elif isinstance(old, float):
        new = random.choice((0.0, -1.0, 1e38, float("nan")))
    elif isinstance(old, list):
        new = random.choice(([], old[:1], old + old[:1], None))
    else:
        new = None
    setattr(one, field, new)
