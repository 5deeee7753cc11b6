"""Signatures with a key, made and checked by `cryptography` alone.

`model.sig` is a Sigstore bundle: a DSSE envelope around an in-toto statement that holds the sha256 of every file. The
`model_signing` command reads what is written here, and the other way round. (https://github.com/secure-systems-lab/dsse)
"""

import base64
import binascii
import hashlib
import shlex
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from edgekit import reading
from edgekit.errors import ArtifactError, MissingError, RequestError, reason
from edgekit.extras import needs
from edgekit.manifest import file_record
from edgekit.places import output_errors, replacing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

B = TypeVar("B", bound=msgspec.Struct)
SIGNATURE = "model.sig"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
CURVES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
UNSIGNED = (".git", ".gitattributes", ".github", ".gitignore")  # as model_signing leaves them out
OTHER_KINDS = "--chain ca.pem for a certificate, --identity NAME --issuer URL for an account"
BY_THE_TOOL = "model_signing verify, of the package model-signing, may know it"
NEW_KEY = "openssl ecparam -name prime256v1 -genkey -noout -out"
HINT = "the folder as it was signed, and the key of whoever signed it"


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    pass


class _PublicKey(_Strict, frozen=True):
    hint: str


class _Material(_Strict, frozen=True):
    public_key: _PublicKey
    tlog_entries: tuple[()] = ()


class _Signed(_Strict, frozen=True):
    sig: str
    keyid: Literal[""] = ""


class _Envelope(_Strict, frozen=True):
    payload: str
    signatures: tuple[_Signed]
    payload_type: Literal["application/vnd.in-toto+json"] = "application/vnd.in-toto+json"


class _Bundle(_Strict, frozen=True):
    verification_material: _Material
    dsse_envelope: _Envelope
    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"] = (
        "application/vnd.dev.sigstore.bundle.v0.3+json"
    )


class _Enveloped(msgspec.Struct, frozen=True, rename="camel"):
    """A bundle of whatever kind."""

    dsse_envelope: _Envelope


class _Resource(msgspec.Struct, frozen=True):
    name: str
    digest: str
    algorithm: str = "sha256"


class _Serialization(msgspec.Struct, frozen=True):
    method: str = "files"
    hash_type: str = "sha256"
    allow_symlinks: bool = False
    ignore_paths: tuple[str, ...] = ()


class _Predicate(msgspec.Struct, frozen=True):
    resources: tuple[_Resource, ...]
    serialization: _Serialization


class _Subject(msgspec.Struct, frozen=True):
    name: str
    digest: dict[str, str]


class _Statement(msgspec.Struct, frozen=True):
    subject: tuple[_Subject]
    predicate: _Predicate
    kind: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(
        name="_type", default="https://in-toto.io/Statement/v1"
    )
    predicate_type: Literal["https://model_signing/signature/v1.0"] = msgspec.field(
        name="predicateType", default="https://model_signing/signature/v1.0"
    )


def sign(folder: Path, key: Path, place: Path) -> list[str]:
    """Sign every file of a folder with an EC private key in PEM, into `place`; the names that were signed.

    Raises RequestError (no folder, no such key), OutputError, MissingExtraError.
    """
    private = _private(key)
    names = signable(folder, key, place)
    resources = tuple(_Resource(name, file_record(folder / name).sha256) for name in names)
    statement = _Statement(
        subject=(_Subject(folder.resolve().name, {"sha256": _root(resources)}),),
        predicate=_Predicate(resources, _Serialization(ignore_paths=tuple(sorted(_ignored(folder, place))))),
    )
    payload = msgspec.json.encode(_plain(statement))
    envelope = _Envelope(
        _base64(payload), (_Signed(_base64(private.sign(_framed(payload), _hashed(private.curve.name)))),)
    )
    bundle = _Bundle(_Material(_PublicKey(_fingerprint(private.public_key()))), envelope)
    with output_errors("--signature another/place"):
        place.parent.mkdir(parents=True, exist_ok=True)
    with replacing(place, "--signature another/place") as partial:
        partial.write_bytes(msgspec.json.encode(_plain(bundle)))
    return names


def signable(folder: Path, key: Path | None, place: Path) -> list[str]:
    """The files of a folder that a signature in `place` is of. Raises RequestError: none, or the private key among them."""
    if key is not None and key.resolve().is_relative_to(folder.resolve()):
        raise RequestError(f"{key} lies in the folder that it signs", hint="keep a private key where it is not copied")
    names = _files(folder, _ignored(folder, place))
    if not names:
        raise RequestError(f"{folder} holds no files to sign", hint="the folder of an artifact, or an unpacked bundle")
    return names


def verify(folder: Path, key: Path, place: Path) -> list[str]:
    """Check that a folder is what the owner of a public key signed; the names of its files.

    Raises ArtifactError that names the files which are changed, missing or new; RequestError for what is no key.
    """
    public = _public(key)
    bundle = _read(place, _Bundle, "no signature with a key", OTHER_KINDS)
    if bundle.verification_material.public_key.hint != _fingerprint(public):
        raise ArtifactError(
            f"{place} was not made with the key of {key}", hint="--key with the key of whoever signed it"
        )
    payload, signed = _contents(place, bundle.dsse_envelope)
    _check(public, signed, payload, place)
    return _compare(folder, place, payload)


def compare(folder: Path, place: Path) -> list[str]:
    """Whether a folder has the files of a signature of whatever kind, whoever made it; their names. Raises ArtifactError."""
    bundle = _read(place, _Enveloped, "no signature", BY_THE_TOOL)
    return _compare(folder, place, _contents(place, bundle.dsse_envelope)[0])


def _read(place: Path, kind: type[B], what: str, hint: str) -> B:
    try:
        return reading.json(reading.blob(place), kind)
    except FileNotFoundError:
        if not place.parent.exists():
            raise MissingError(f"{place.parent} does not exist", hint="the folder that was signed") from None
        made = "edgekit sign makes it; --signature FILE where it lies elsewhere"
        raise ArtifactError(f"{place} does not exist", hint=made) from None
    except OSError as error:
        raise ArtifactError(f"{place}: {error.strerror}", hint="--signature FILE") from None
    except reading.Malformed as error:
        raise ArtifactError(f"{place} is {what}: {reason(error)}", hint=f"copy it again; {hint}") from None


def _contents(place: Path, envelope: _Envelope) -> tuple[bytes, bytes]:
    """What is signed, and its signature."""
    try:
        return _bytes(envelope.payload), _bytes(envelope.signatures[0].sig)
    except binascii.Error as error:
        raise ArtifactError(f"{place} is no signature: {reason(error)}", hint="copy it again") from None


def _compare(folder: Path, place: Path, payload: bytes) -> list[str]:
    """The files at hand and those of the statement."""
    try:
        statement = reading.json(payload, _Statement)
    except reading.Malformed as error:
        raise ArtifactError(f"{place} signs something else: {reason(error)}", hint=BY_THE_TOOL) from None
    how, resources = statement.predicate.serialization, statement.predicate.resources
    others = {how.method, how.hash_type, *(r.algorithm for r in resources)} - {"files", "sha256"}
    if others or how.allow_symlinks:
        raise ArtifactError(f"{place} signs in another way: {', '.join(sorted(others)) or 'links'}", hint=BY_THE_TOOL)
    if statement.subject[0].digest.get("sha256") != _root(resources):
        raise ArtifactError(f"{place} contradicts itself: its digests do not add up", hint=HINT)
    expected = {resource.name: resource.digest for resource in resources}
    ignored = {*how.ignore_paths, *_inside(folder, place)}
    found = set(_files(folder, ignored))
    wrong = [
        *(f"{name} is missing" for name in sorted(expected.keys() - found)),
        *(f"{name} was not signed" for name in sorted(found - expected.keys())),
        *(
            f"{name} is not the file that was signed"
            for name in sorted(expected.keys() & found)
            if file_record(folder / name).sha256 != expected[name]
        ),
    ]
    if wrong:
        more = f"; {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ArtifactError(f"{folder}: {'; '.join(wrong[:5])}{more}", hint=HINT)
    return list(expected)


def _files(folder: Path, ignored: Iterable[str]) -> list[str]:
    """Every file below a folder by its path in it, in the order that is signed. A link is refused: it could lead anywhere."""
    if not folder.is_dir():
        raise RequestError(f"{folder} is no folder", hint="the folder of an artifact, or an unpacked bundle")
    left_out = [PurePosixPath(path) for path in ignored]
    names = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if any(PurePosixPath(name).is_relative_to(out) for out in left_out):
            continue
        if path.is_symlink():
            raise ArtifactError(
                f"{folder}: {name} is a link, and a signature is of files", hint="put a copy in its place"
            )
        if path.is_file():
            names.append(name)
    return sorted(names)


def _ignored(folder: Path, place: Path) -> set[str]:
    return {*UNSIGNED, *_inside(folder, place)}


def _inside(folder: Path, place: Path) -> list[str]:
    """The signature's own path in the folder, where it lies there."""
    path, root = place.parent.resolve() / place.name, folder.resolve()
    return [path.relative_to(root).as_posix()] if path.is_relative_to(root) else []


def _root(resources: Iterable[_Resource]) -> str:
    """A digest of all digests, in their order."""
    try:
        return hashlib.sha256(b"".join(bytes.fromhex(resource.digest) for resource in resources)).hexdigest()
    except ValueError:
        return ""


def _framed(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def _plain(struct: Any) -> Any:
    """With every field, also those that have their only value."""
    if isinstance(struct, msgspec.Struct):
        fields = msgspec.structs.fields(struct)
        return {field.encode_name: _plain(getattr(struct, field.name)) for field in fields}
    return [_plain(item) for item in struct] if isinstance(struct, tuple) else struct


def _base64(blob: bytes) -> str:
    return base64.b64encode(blob).decode()


def _bytes(text: str) -> bytes:
    """Of base64 in the one way that it is written."""
    blob = base64.b64decode(text, validate=True)
    if _base64(blob) != text:
        raise binascii.Error("base64 with bits that mean nothing")
    return blob


def _hashed(curve: str) -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.ECDSA(getattr(hashes, CURVES[curve])())


def _check(public: "EllipticCurvePublicKey", signed: bytes, payload: bytes, place: Path) -> None:
    from cryptography.exceptions import InvalidSignature

    try:
        public.verify(signed, _framed(payload), _hashed(public.curve.name))
    except InvalidSignature:
        raise ArtifactError(f"{place} was changed after it was signed", hint=HINT) from None


def _fingerprint(public: "EllipticCurvePublicKey") -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _pem(path: Path, absent: str) -> bytes:
    """What a file of a key holds. `absent`: the hint where there is none. Hints never write where something may lie: a private
    key is there once. Raises RequestError."""
    try:
        return reading.blob(path)
    except FileNotFoundError as error:
        raise RequestError(f"{path}: {error.strerror}", hint=absent) from None
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror}", hint="--key with a file that can be read") from None


def _private(path: Path) -> "EllipticCurvePrivateKey":
    with needs("sign"):
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    blob = _pem(path, f"{NEW_KEY} {shlex.quote(str(path))} makes one")
    try:
        key = load_pem_private_key(blob, None)
    except TypeError:
        hint = f"openssl ec -in {path} -out open.pem opens it"
        raise RequestError(f"{path} is locked with a password", hint=hint) from None
    except Exception:  # whatever cryptography makes of a file that is no key
        if b"PUBLIC KEY-----" in blob:
            raise RequestError(f"{path} is a public key", hint="--key with its private one") from None
        raise RequestError(f"{path} is no private key in PEM", hint="--key with an EC private key in PEM") from None
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        hint = f"{NEW_KEY} new-key.pem makes one that is"
        raise RequestError(f"{path} is no key on the curves P-256, P-384 or P-521", hint=hint)
    return key


def _public(path: Path) -> "EllipticCurvePublicKey":
    with needs("verify"):
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    hint = "--key with the public key of whoever signed"
    blob = _pem(path, hint)
    try:
        key = load_pem_public_key(blob)
    except Exception:  # whatever cryptography makes of a file that is no key
        if b"PRIVATE KEY-----" in blob:
            own = f"--key with its public one: openssl ec -in {shlex.quote(str(path))} -pubout prints it"
            raise RequestError(f"{path} is a private key", hint=own) from None
        raise RequestError(f"{path} is no public key in PEM", hint=hint) from None
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise RequestError(f"{path} is no key on the curves P-256, P-384 or P-521", hint=hint)
    return key
