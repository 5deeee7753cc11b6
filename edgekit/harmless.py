"""Text from anywhere (labels, file names, names inside models) as what may be shown, and saved as UTF-8."""

import re

# Control codes but tab and line feed; marks that turn the direction of writing; bytes of file names that are not UTF-8
# (Python holds them as lone surrogates).
HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def harmless(text: str) -> str:
    """What a terminal would obey, and what UTF-8 cannot hold, is spelled out: ESC becomes \\x1b."""
    return HARMFUL.sub(lambda found: _spelled(ord(found[0])), text)


def in_a_line(name: str) -> str:
    """A name that holds line feeds or tabs as one that does not: what is said of it takes one line."""
    return harmless(name).replace("\n", "\\n").replace("\t", "\\t")


def _spelled(code: int) -> str:
    byte = code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else code
    return f"\\x{byte:02x}" if byte < 0x100 else f"\\u{byte:04x}"
