"""`verify` and `compare`: whether files answer as they should."""

from collections.abc import Sequence
from pathlib import Path

from edgekit import parity, prediction, registry, signing
from edgekit.bundle import unpacked
from edgekit.devices import TIMEOUT
from edgekit.errors import RequestError, as_path
from edgekit.parity import Match, Verification
from edgekit.runtimes import Options, check_interpreter
from edgekit.verbs.artifacts import File, Seconds, Threads, opened_of
from edgekit.verbs.asked import Place, Say, several, silent, verb


@verb
def verify(
    artifact: File,
    *,
    key: Place | None = None,
    chain: Sequence[Place] = (),
    identity: str | None = None,
    issuer: str | None = None,
    signature: Place | None = None,
    runtime: str | None = None,
    on: str = "local",
    timeout: Seconds = TIMEOUT,
    threads: Threads = 1,
    interpreter: str | None = None,
) -> Verification:
    """Prove a copy of an artifact where it runs: checksums, preprocessing to the last bit, answers. Needs no torch.

    key        a public key in PEM: check first that its owner signed the folder
    chain      the same for a certificate: those of its authorities, in PEM
    identity   the same for an account that signed by Sigstore, and with `issuer` who vouches for it
    signature  where the signature is; None: `model.sig` in the folder
    runtime    None: the first that is installed and opens such files
    on         a device: "local", "arm64:cortex-a76", "adb"; timeout: seconds without an answer that mean a hang

    A copy that answers otherwise is no exception: `passed` is False. Raises ArtifactError for damaged files and for
    those that somebody else signed, WorkerError, DeviceError.
    """
    written = None if signature is None else Path(signature)
    signer = signing.trust(None if key is None else Path(key), tuple(map(Path, chain)), identity, issuer, written)
    if signer is not None:
        folder = as_path(artifact, "the folder of an artifact")
        signing.verify(folder, signer, written)
        artifact = unpacked(folder)
    opened = opened_of(artifact)
    check_interpreter(interpreter, [opened.target])
    named = registry.runtime_named(runtime, opened.target).name
    return parity.verify(opened, named, Options(threads, interpreter), registry.device(on), timeout)


@verb
def compare(
    files: Sequence[File],
    data: Place | None = None,
    *,
    on: str = "local",
    timeout: Seconds = TIMEOUT,
    threads: Threads = 1,
    interpreter: str | None = None,
    say: Say | None = None,
) -> list[Match]:
    """How far the answers of several artifacts of one model lie apart, pair by pair: `edgekit verify --against`.

    data         a folder of images; None: the first artifact's golden ones
    on, timeout  as `verify` has them

    Raises RequestError for artifacts that cannot be compared, DataError, WorkerError.
    """
    opened = [opened_of(file) for file in several(files)]
    if len(opened) < 2:
        raise RequestError("one artifact is compared with nothing", hint="compare([one, another])")
    check_interpreter(interpreter, (a.target for a in opened))
    pixels, lost = prediction.fitted(opened[0], None if data is None else Path(data))
    if lost:
        (say or silent)(lost)
    pairs = [(a, registry.runtime_for(a.target).name) for a in opened]
    return parity.compare(pairs, pixels, Options(threads, interpreter), registry.device(on), timeout)
