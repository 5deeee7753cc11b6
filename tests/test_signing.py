"""Signatures: both ways with the model_signing command, and whatever is changed is refused with its name."""

import json
import random
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import GOLDEN, ROOT
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgekit import signing
from edgekit.cli.sign import sign as sign_command
from edgekit.cli.verify import verify as verify_command
from edgekit.errors import ArtifactError, HubError, MissingExtraError, RequestError
from edgekit.signing import Authority, Identity, Key, sign

pytestmark = pytest.mark.full
TOOL = ROOT / ".venv-sign/bin/model_signing"


def keys(folder, name="key", private=None, encryption=None):
    private = private or ec.generate_private_key(ec.SECP256R1())
    pem, plain = serialization.Encoding.PEM, encryption or serialization.NoEncryption()
    secret, public = folder / f"{name}.pem", folder / f"{name}.pub"
    secret.write_bytes(private.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    public.write_bytes(private.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return secret, public


@pytest.fixture
def pair(tmp_path):
    return keys(tmp_path)


@pytest.fixture
def bundle(tmp_path):
    """As it is unpacked: an artifact in a folder with what describes it."""
    folder = tmp_path / "bundle"
    shutil.copytree(GOLDEN, folder / "tiny")
    for name in ("README.md", "bom.cdx.json", "provenance.json"):
        (folder / name).write_text(f"the {name} of a bundle\n")
    return folder


def verify(folder, public, signature=None):
    return signing.verify(folder, Key(public), signature)


def tool(*arguments):
    done = subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.skipif(not TOOL.exists(), reason="`make .venv-sign/.ready` installs model_signing")
def test_both_tools_check_what_either_signed(bundle, pair):
    private, public = pair
    ours, theirs = bundle / "model.sig", bundle.with_name("theirs.sig")
    assert tool("sign", "key", bundle, "--private_key", private, "--signature", theirs)[0] == 0
    assert len(verify(bundle, public, theirs)) == 8
    sign(bundle, private)
    for signature in (ours, theirs):
        ignored = ("--ignore-paths", ours) if signature == theirs else ()
        code, said = tool("verify", "key", bundle, "--public_key", public, "--signature", signature, *ignored)
        assert code == 0, said
    assert len(verify(bundle, public)) == 8
    (bundle / "README.md").write_text("other words\n")
    code, said = tool("verify", "key", bundle, "--public_key", public, "--signature", ours)
    assert code != 0
    assert "README.md" in said


def test_a_thousand_changes_of_a_byte_are_refused_with_the_name(bundle, pair):
    private, public = pair
    sign(bundle, private)
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    assert bundle / "model.sig" in files
    rng = random.Random(1)
    for n in range(1000):
        path = files[n % len(files)]
        blob = path.read_bytes()
        at = rng.randrange(len(blob))
        path.write_bytes(blob[:at] + bytes([blob[at] ^ rng.randrange(1, 256)]) + blob[at + 1 :])
        with pytest.raises(ArtifactError) as refused:
            verify(bundle, public)
        assert path.relative_to(bundle).as_posix() in refused.value.message
        path.write_bytes(blob)
    assert len(verify(bundle, public)) == len(files) - 1


def test_files_that_are_new_missing_or_links_are_refused(bundle, pair):
    private, public = pair
    sign(bundle, private)
    (bundle / "tiny/extra.bin").write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"extra\.bin was not signed"):
        verify(bundle, public)
    (bundle / "tiny/extra.bin").unlink()
    (bundle / "bom.cdx.json").rename(bundle / "tiny/bom.cdx.json")
    with pytest.raises(ArtifactError, match=r"bom\.cdx\.json is missing; tiny/bom\.cdx\.json was not signed"):
        verify(bundle, public)
    (bundle / "bom.cdx.json").symlink_to("tiny/bom.cdx.json")
    with pytest.raises(ArtifactError, match="is a link"):
        verify(bundle, public)


def test_another_key_signs_nothing_here(bundle, pair, tmp_path):
    sign(bundle, pair[0])
    stranger = keys(tmp_path, "stranger")
    with pytest.raises(ArtifactError, match="was not made with the key"):
        verify(bundle, stranger[1])
    document = json.loads((bundle / "model.sig").read_bytes())
    sign(bundle, stranger[0], tmp_path / "other.sig")
    other = json.loads((tmp_path / "other.sig").read_bytes())
    document["dsseEnvelope"] = other["dsseEnvelope"]  # a stranger's words under the owner's fingerprint
    (bundle / "model.sig").write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match="was changed after it was signed"):
        verify(bundle, pair[1])


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()])
def test_other_curves(bundle, tmp_path, curve):
    private, public = keys(tmp_path, private=ec.generate_private_key(curve))
    sign(bundle, private)
    assert verify(bundle, public)


def test_what_is_no_key_is_said(bundle, pair, tmp_path):
    text = tmp_path / "text.pem"
    text.write_text("no key")
    locked = keys(tmp_path, "locked", encryption=serialization.BestAvailableEncryption(b"x"))
    edwards = keys(tmp_path, "edwards", ed25519.Ed25519PrivateKey.generate())
    inside = shutil.copy(pair[0], bundle / "key.pem")
    for key, words in (
        (text, "is no private key"),
        (tmp_path / "none.pem", "No such file"),
        (locked[0], "is locked with a password"),
        (edwards[0], "is no key on the curves"),
        (Path(inside), "lies in the folder that it signs"),
        (pair[1], "is a public key"),
        (bundle, "Is a directory"),
    ):
        with pytest.raises(RequestError, match=words) as refused:
            sign(bundle, key)
        assert "-out key.pem" not in refused.value.hint  # where the one and only private key may lie
    Path(inside).unlink()
    sign(bundle, pair[0])
    for key, words in ((text, "is no public key"), (edwards[1], "is no key on"), (pair[0], "is a private key")):
        with pytest.raises(RequestError, match=words):
            verify(bundle, key)


def authority(folder, name):
    """A key and its certificate, an authority's key having signed it; the authority's own certificate."""
    files = {}
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"The authority of {name}")])
    root = ec.generate_private_key(ec.SECP256R1())
    private, _ = keys(folder, name, own := ec.generate_private_key(ec.SECP256R1()))
    for part, subject, public in (
        ("ca", issuer, root),
        ("cert", x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), own),
    ):
        made = (
            x509.CertificateBuilder(issuer, subject, public.public_key(), x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - timedelta(days=1))
            .not_valid_after(datetime.now(UTC) + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=part == "ca", path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public.public_key()), critical=False)
        )
        if part == "cert":
            digital = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
            code = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
            made = made.add_extension(digital, critical=True).add_extension(code, critical=False)
        files[part] = folder / f"{name}-{part}.pem"
        files[part].write_bytes(made.sign(root, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return private, files["cert"], files["ca"]


@pytest.mark.skipif(not TOOL.exists(), reason="`make .venv-sign/.ready` installs model_signing")
def test_a_certificate_signs_and_its_authority_is_asked_for(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(TOOL.parent), prepend=":")
    key, certificate, ca = authority(tmp_path, "models@example.org")
    stranger = authority(tmp_path, "stranger")
    assert len(sign(bundle, key, certificate=certificate)) == 8
    theirs = tmp_path / "theirs.sig"
    options = ("--private_key", key, "--signing_certificate", certificate, "--certificate_chain", certificate)
    code, said = tool(
        "sign", "certificate", bundle, *options, "--signature", theirs, "--ignore-paths", bundle / "model.sig"
    )
    assert code == 0, said
    for signature in (bundle / "model.sig", theirs):
        code, said = tool("verify", "certificate", bundle, "--certificate_chain", ca, "--signature", signature)
        assert code == 0, said
        assert len(signing.verify(bundle, Authority((ca,)), signature)) == 8
    with pytest.raises(ArtifactError, match="is not theirs: unable to get local issuer certificate"):
        signing.verify(bundle, Authority((stranger[2],)))
    with pytest.raises(RequestError, match="there is no file"):
        signing.verify(bundle, Authority((tmp_path / "none.pem",)))
    with pytest.raises(ArtifactError, match=r"no signature with a key.*--chain ca\.pem"):
        verify(bundle, keys(tmp_path)[1])
    with pytest.raises(RequestError, match="is not signed: The public key from the certificate does not match"):
        sign(bundle, stranger[0], tmp_path / "none.sig", certificate=certificate)
    assert not (tmp_path / "none.sig").exists()
    (bundle / "README.md").write_text("other words\n")
    with pytest.raises(ArtifactError, match=r"README\.md is not the file that was signed"):
        signing.verify(bundle, Authority((ca,)))


def test_an_account_is_asked_of_sigstore(bundle, pair, tmp_path, monkeypatch):
    """Sigstore is not reached here: what the tool is asked is a copy of what it is told, and what it says becomes ours."""
    asked = tmp_path / "asked"
    (tmp_path / "model_signing").write_text(
        f'#!/bin/sh\necho "$@" >>{asked}\necho "Go to the following link in a browser"\n'
        'echo "Signing failed with error: Failed to refresh TUF metadata" >&2\nexit 1\n'
    )
    (tmp_path / "model_signing").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "https://example.com")
    told = []
    with pytest.raises(HubError, match=r"Sigstore is not reachable: Failed to refresh TUF metadata"):
        sign(bundle, say=told.append)
    assert told == ["Go to the following link in a browser"]
    sign(bundle, pair[0])
    with pytest.raises(HubError, match="needs a network"):
        signing.verify(bundle, Identity("name@example.com", "https://accounts.example.com"))
    first, second = asked.read_text().splitlines()
    assert first.startswith("sign sigstore --use_ambient_credentials --ignore-paths=")
    assert "--identity=name@example.com --identity_provider=https://accounts.example.com" in second


def test_whose_signature_is_wanted_is_said_once(pair):
    key = pair[1]
    assert signing.trust() is None
    assert signing.trust(key) == Key(key)
    for asked in ({"key": key, "authorities": [key]}, {"key": key, "identity": "x", "issuer": "y"}, {"identity": "x"}):
        with pytest.raises(RequestError, match=r"a signature is somebody's|an account is a name"):
            signing.trust(**asked)


def test_without_the_tool_its_installation_is_named(bundle, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingExtraError, match="uv tool install model-signing"):
        sign(bundle)


def test_only_what_was_proven_is_signed(refused, pair, tmp_path):
    (tmp_path / "others").mkdir()
    (tmp_path / "others/thesis.txt").write_text("years of work")
    for folder, words in ((refused, "was refused at export"), (tmp_path / "others", "is not an artifact")):
        done = CliRunner().invoke(sign_command, [str(folder), "--key", str(pair[0])])
        assert (done.exit_code, words in done.output) == (4, True), done.output
        assert not (folder / "model.sig").exists()


def test_the_commands(bundle, pair, tmp_path):
    private, public = map(str, pair)
    done = CliRunner().invoke(sign_command, [str(bundle), "--key", private])
    assert (done.exit_code, "signs 8 files" in done.output) == (0, True), done.output
    done = CliRunner().invoke(verify_command, [str(bundle), "--key", public])
    assert done.exit_code == 0, done.output
    assert "signature      ok  8 files are those that the owner of" in done.output
    assert "outputs        ok" in done.output  # of the artifact inside
    for arguments, code, words in (
        ([str(bundle), "--key", public, "--chain", public], 2, "a signature is somebody's"),
        ([str(bundle / "tiny"), "--key", public], 4, "model.sig does not exist"),
        ([str(bundle), "--signature", "x"], 2, "--signature wants whoever signed"),
        ([str(tmp_path / "none"), "--key", public], 2, "does not exist"),
        ([str(bundle), "--key", public, "--against", str(GOLDEN)], 2, "a signature is of one folder"),
    ):
        done = CliRunner().invoke(verify_command, arguments)
        assert (done.exit_code, words in done.output) == (code, True), done.output
