"""edgekit sign"""

from pathlib import Path

import click

from edgekit.cli.output import Talk, common
from edgekit.errors import RequestError


@click.command(short_help="Sign every file of an artifact.")
@click.argument("folder")
@click.option("--key", metavar="FILE", help="An EC private key in PEM (P-256, P-384 or P-521).")
@click.option(
    "--certificate",
    metavar="FILE",
    help="The key's certificate in PEM, and behind it those that lead to its authority.",
)
@click.option("--keyless", is_flag=True, help="Sign with an account, by Sigstore: in a browser, or a CI job's own.")
@click.option("--signature", metavar="FILE", help="Where to write it.  [default: model.sig in the folder]")
@common
def sign(
    talk: Talk, folder: str, key: str | None, certificate: str | None, keyless: bool, signature: str | None
) -> int:
    """Sign every file of an artifact, or of an unpacked bundle, as OpenSSF Model Signing does.

    `edgekit verify` checks it, and so does `model_signing verify`. A certificate and an account need that command:
    uv tool install model-signing --with pyopenssl.

    \b
    Examples:
      openssl ecparam -name prime256v1 -genkey -noout -out key.pem
      openssl ec -in key.pem -pubout -out public.pem
      edgekit sign build/mobilenetv2-tflite-int8 --key key.pem
      edgekit verify build/mobilenetv2-tflite-int8 --key public.pem
      edgekit sign build/mine-tflite-int8 --key key.pem --certificate cert.pem
      edgekit verify build/mobilenetv2-tflite-int8 --chain ca.pem
      edgekit sign build/mobilenetv2-tflite-int8 --keyless
    """
    from edgekit import artifact, parity, signing
    from edgekit.bundle import unpacked

    if keyless == (key is not None):
        raise RequestError("a signature is made with a key or by an account", hint="either --key FILE or --keyless")
    place = Path(signature) if signature else Path(folder) / signing.SIGNATURE
    parity.check_claims(artifact.load(unpacked(Path(folder))))  # a signature stands behind what is in it
    own = Path(key) if key else None
    proof = Path(certificate) if certificate else None
    names = signing.sign(Path(folder), own, place, certificate=proof, say=talk.say)
    talk.result(f"{place}  signs {len(names)} files", {"written": str(place), "files": names})
    return 0
