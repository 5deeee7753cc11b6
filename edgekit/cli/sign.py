"""edgekit sign"""

from pathlib import Path

import click

from edgekit.cli.output import Talk, common


@click.command(short_help="Sign every file of an artifact.")
@click.argument("folder")
@click.option("--key", required=True, metavar="FILE", help="An EC private key in PEM (P-256, P-384 or P-521).")
@click.option("--signature", metavar="FILE", help="Where to write it.  [default: model.sig in the folder]")
@common
def sign(talk: Talk, folder: str, key: str, signature: str | None) -> int:
    """Sign every file of an artifact, or of an unpacked bundle, as OpenSSF Model Signing does.

    `edgekit verify --key` checks it, and so does `model_signing verify key`.

    \b
    Examples:
      openssl ecparam -name prime256v1 -genkey -noout -out key.pem
      openssl ec -in key.pem -pubout -out public.pem
      edgekit sign build/mobilenetv2-tflite-int8 --key key.pem
      edgekit verify build/mobilenetv2-tflite-int8 --key public.pem
    """
    from edgekit import signing

    place = Path(signature) if signature else Path(folder) / signing.SIGNATURE
    names = signing.sign(Path(folder), Path(key), place)
    talk.result(f"{place}  signs {len(names)} files", {"written": str(place), "files": names})
    return 0
