"""Signatures: both ways with the model_signing command, and whatever is changed is refused with its name."""

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import GOLDEN, ROOT
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from edgekit.cli.sign import sign as sign_command
from edgekit.cli.verify import verify as verify_command
from edgekit.errors import ArtifactError, RequestError
from edgekit.signing import sign, verify

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
        (pair[1], "is no private key"),
    ):
        with pytest.raises(RequestError, match=words):
            sign(bundle, key)
    Path(inside).unlink()
    sign(bundle, pair[0])
    for key, words in ((text, "is no public key"), (edwards[1], "is no key on"), (pair[0], "is no public key")):
        with pytest.raises(RequestError, match=words):
            verify(bundle, key)


def test_the_commands(bundle, pair, tmp_path):
    private, public = map(str, pair)
    done = CliRunner().invoke(sign_command, [str(bundle), "--key", private])
    assert (done.exit_code, "signs 8 files" in done.output) == (0, True), done.output
    done = CliRunner().invoke(verify_command, [str(bundle), "--key", public])
    assert done.exit_code == 0, done.output
    assert "signature  ok  8 files are those that the owner of" in done.output
    assert "answers    ok" in done.output  # of the artifact inside
    for arguments, code, words in (
        ([str(bundle / "tiny"), "--key", public], 4, "model.sig does not exist"),
        ([str(bundle), "--signature", "x"], 2, "--signature wants the public key"),
        ([str(tmp_path / "none"), "--key", public], 4, "does not exist"),
        ([str(bundle), "--key", public, "--against", str(GOLDEN)], 2, "--key is about one folder"),
    ):
        done = CliRunner().invoke(verify_command, arguments)
        assert (done.exit_code, words in done.output) == (code, True), done.output
