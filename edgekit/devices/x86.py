"""`x86:haswell`: this very Python on an x86-64 CPU with AVX2 and without VNNI, whatever CPU is here.

Its counts stand for x86. Valgrind's callgrind counts as well, but it too hides AVX-512, is no faster with fp32 (minutes for a
few inferences), and would be one more tool with answers of its own.
"""

import platform
import sys
from pathlib import Path
from typing import ClassVar

from edgekit.devices.cache import Part
from edgekit.devices.emulated import Core, Emulated
from edgekit.errors import UnsupportedError

CPUINFO = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 60
model name\t: Intel Core Processor (Haswell, no TSX)
stepping\t: 1
cpu cores\t: 1
flags\t\t: fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 syscall nx rdtscp \
lm pni pclmulqdq ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes xsave avx f16c rdrand lahf_lm abm fsgsbase bmi1 avx2 \
smep bmi2 erms

"""

# less what QEMU's user mode has not, and would say so of
HASWELL = "Haswell-noTSX,-pcid,-x2apic,-tsc-deadline,-invpcid"


class X86(Emulated):
    kind = "x86"
    emulator = "qemu-x86_64"
    cores: ClassVar = {"haswell": Core(HASWELL, {"proc/cpuinfo": CPUINFO})}

    def guest(self, prefix: Path, parts: list[Part]) -> list[str]:
        if platform.machine() != "x86_64":
            raise UnsupportedError(f"{self.name} runs this Python, which is for {platform.machine()}")
        return [sys.executable]
