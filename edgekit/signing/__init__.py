"""Who stands behind a folder: signatures of OpenSSF Model Signing 1.0 (https://github.com/ossf/model-signing-spec).

With a key they are made and checked here, by `cryptography` alone (`keys`). With a certificate, or by Sigstore without any
key, the `model_signing` command does it (`tool`): chains of trust and transparency logs are not written twice.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit import reading
from edgekit.errors import RequestError
from edgekit.signing import keys, tool
from edgekit.signing.keys import SIGNATURE

__all__ = ["SIGNATURE", "Authority", "Identity", "Key", "Trust", "sign", "trust", "verify"]

AMBIENT = ("ACTIONS_ID_TOKEN_REQUEST_URL", "SIGSTORE_ID_TOKEN")  # GitHub's and GitLab's runners vouch for their jobs


@dataclass(frozen=True)
class Key:
    """The owner of a public key, in PEM."""

    path: Path

    def __str__(self) -> str:
        return f"the owner of {self.path}"


@dataclass(frozen=True)
class Authority:
    """Whoever has a certificate that leads to these authorities, in PEM."""

    certificates: tuple[Path, ...]

    def __str__(self) -> str:
        return f"the owner of a certificate under {', '.join(map(str, self.certificates))}"


@dataclass(frozen=True)
class Identity:
    """An account, as an OpenID Connect provider names it: name@example.com of https://accounts.example.com."""

    name: str
    issuer: str

    def __str__(self) -> str:
        return f"{self.name} of {self.issuer}"


Trust = Key | Authority | Identity


def trust(
    key: Path | None = None,
    authorities: Sequence[Path] = (),
    identity: str | None = None,
    issuer: str | None = None,
    signature: Path | None = None,
) -> Trust | None:
    """Whose signature is wanted; None where nobody's is. Raises RequestError for several, half of one, and a `signature`
    without whoever made it."""
    if (key is not None) + bool(authorities) + (identity is not None or issuer is not None) > 1:
        raise RequestError(
            "a signature is somebody's: a key's, a certificate's or an account's", hint="name one of them"
        )
    if (identity is None) != (issuer is None):
        hint = "--identity name@example.com --issuer https://accounts.example.com"
        raise RequestError("an account is a name and who vouches for it", hint=hint)
    if key is not None:
        return Key(key)
    if identity is not None and issuer is not None:
        return Identity(identity, issuer)
    if authorities:
        return Authority(tuple(authorities))
    if signature is not None:
        raise RequestError(
            "--signature wants whoever signed", hint="--key public.pem, --chain ca.pem or --identity NAME"
        )
    return None


def sign(
    folder: Path,
    key: Path | None = None,
    signature: Path | None = None,
    *,
    certificate: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Sign every file of a folder; the names that were signed.

    key          an EC private key in PEM; None: Sigstore, with an account, where a network is
    signature    where to write it, `model.sig` in the folder by default
    certificate  of the key, in PEM, behind it those that lead to its authority
    say          gets what Sigstore asks of its user, line by line

    Raises RequestError (no folder, no such key), OutputError, MissingExtraError, ArtifactError where the tool fails.
    """
    place = signature or folder / SIGNATURE
    if key is not None and certificate is None:
        return keys.sign(folder, key, place)
    if key is None and certificate is not None:
        raise RequestError("a certificate signs nothing without its key", hint="--key key.pem")
    names = keys.signable(folder, key, place)
    if key is not None and certificate is not None:
        # The file twice: the first certificate in it is the signer's, and the tool refuses to have none behind it.
        _readable(key, certificate)
        files = (f"--private_key={key}", f"--signing_certificate={certificate}", f"--certificate_chain={certificate}")
        tool.sign(folder, place, say, "certificate", *files)
    else:
        ambient = ["--use_ambient_credentials"] if any(name in os.environ for name in AMBIENT) else []
        tool.sign(folder, place, say, "sigstore", *ambient)
    return names


def verify(folder: Path, whose: Trust, signature: Path | None = None) -> list[str]:
    """Check that a folder is what somebody signed; the names of its files.

    Raises ArtifactError that names the files which are changed, missing or new, or says that somebody else signed them;
    RequestError for what is no key; MissingExtraError.
    """
    place = signature or folder / SIGNATURE
    if isinstance(whose, Key):
        return keys.verify(folder, whose.path, place)
    names = keys.compare(folder, place)  # first, because it says what is wrong in our words
    if isinstance(whose, Authority):
        _readable(*whose.certificates)
        tool.verify(folder, place, "certificate", *(f"--certificate_chain={path}" for path in whose.certificates))
    else:
        tool.verify(folder, place, "sigstore", f"--identity={whose.name}", f"--identity_provider={whose.issuer}")
    return names


def _readable(*paths: Path) -> None:
    for path in paths:
        if not reading.is_file(path):
            raise RequestError(f"there is no file {path}", hint="a key or a certificate in PEM")
