"""What a manifest says of a licence, in the words of other formats."""

# SPDX identifiers that weights come under; others are told in their own words
SPDX = ("MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0")


def spdx(said: str) -> str | None:
    """The identifier that a licence begins with: `MIT (trained from scratch; data MIT)` is MIT."""
    first = said.partition(" ")[0].rstrip(",;")
    return first if first in SPDX else None
