"""An Android library that glibc loads: so that the runtime inside the app is the one that is tested here.

    python android_demo/verify/bionic/patch.py LIBRARY FOLDER [CC]

writes into FOLDER the library, patched, and liblog.so, which is shim.c compiled. Android's TFLite wants about 125 functions of
libc and libm and nothing else of Android but its log, so little has to change:

- it needs one library only, liblog.so, which is ours and needs glibc's
- no versions of symbols: bionic's are not glibc's
- the few functions that differ between the two get names with a capital, under which shim.c has them

64-bit, little-endian ELF. https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.dynamic.html
"""

import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SHIM = Path(__file__).with_name("shim.c")
RENAMED = {
    *("vfprintf", "fprintf", "fputc", "fwrite", "fread", "fflush", "fclose", "fileno"),
    *("strerror_r", "sysconf", "dlsym", "memalign"),
}
NULL, NEEDED, HASH, STRTAB, SYMTAB = 0, 1, 4, 5, 6
VERSIONS = (0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF)  # VERSYM, VERDEF(NUM), VERNEED(NUM)
NOBODYS = 0x6FFFFEF0  # a tag that no loader reads
LOAD, DYNAMIC = 1, 2


class Elf:
    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        start, count = self.at("<Q", 32)[0], self.at("<H", 56)[0]
        headers = [self.at("<IIQQQQ", start + 56 * i) for i in range(count)]
        self.loads = [(offset, address, size) for kind, _, offset, address, _, size in headers if kind == LOAD]
        self.dynamic = next(offset for kind, _, offset, *_ in headers if kind == DYNAMIC)
        tags = {tag: value for _, tag, value in self.tags()}
        self.strings, self.symbols = self.offset(tags[STRTAB]), self.offset(tags[SYMTAB])
        self.symbol_count = self.at("<II", self.offset(tags[HASH]))[1]

    def at(self, kind: str, place: int) -> tuple[int, ...]:
        return struct.unpack_from(kind, self.data, place)

    def offset(self, address: int) -> int:
        """Where in the file."""
        return next(offset + address - start for offset, start, size in self.loads if start <= address < start + size)

    def tags(self) -> Iterator[tuple[int, int, int]]:
        place = self.dynamic
        while (pair := self.at("<QQ", place))[0] != NULL:
            yield place, pair[0], pair[1]
            place += 16

    def name(self, at: int) -> str:
        start = self.strings + at
        return self.data[start : self.data.index(0, start)].decode()

    def imports(self) -> dict[str, int]:
        """Of functions that it does not have itself: where their names stand among the strings."""
        found = (self.at("<IBBH", self.symbols + 24 * i) for i in range(1, self.symbol_count))
        return {self.name(name): name for name, _, _, section in found if section == 0}


def patched(library: bytes) -> bytes:
    elf = Elf(library)
    shim = next(value for _, tag, value in elf.tags() if tag == NEEDED and elf.name(value) == "liblog.so")
    for place, tag, _ in list(elf.tags()):
        if tag == NEEDED:
            struct.pack_into("<QQ", elf.data, place, NEEDED, shim)
        if tag in VERSIONS:
            struct.pack_into("<QQ", elf.data, place, NOBODYS, 0)
    imports = elf.imports()
    for name in RENAMED & imports.keys():
        at = elf.strings + imports[name]
        assert elf.data[at - 1] == 0, f"{name} is the end of another name"
        elf.data[at] -= 32  # to upper case
    return bytes(elf.data)


def make(library: Path, folder: Path, compiler: tuple[str, ...] = ("cc",)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / library.name).write_bytes(patched(library.read_bytes()))
    options = ("-O2", "-shared", "-fPIC", "-Wl,-soname,liblog.so", "-Wl,--no-as-needed")
    subprocess.run([*compiler, *options, SHIM, "-lm", "-ldl", "-o", folder / "liblog.so"], check=True)


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]), tuple(sys.argv[3:4]) or ("cc",))
