"""`x86:haswell`: this very Python on an x86-64 CPU with AVX2 and without VNNI, whatever CPU is here.

Its counts stand for x86 (`edgekit bench --count`). Valgrind's callgrind could count as well. Valgrind 3.19 runs LiteRT, ONNX
Runtime and OpenVINO, because it too hides AVX-512 from them, and counts nearly the same: MobileNetV2 in LiteRT, int8 103.0
against 103.5 million here, fp32 88.4 against 89.7. With fp32 it takes 8 s of CPU time an inference against some 27 s. But
/proc/cpuinfo would still show the CPU that is here, and its answers would be those of a second emulator: QEMU answers and
counts on the one CPU that it says it is, by the counter that also counts ARM.
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
