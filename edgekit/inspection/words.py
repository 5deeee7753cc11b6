"""What the look inside a file comes to, in sentences."""

from edgekit.errors import many
from edgekit.inspection import Inspection
from edgekit.inspection.divergence import Divergence


def verdict(found: Divergence) -> str:
    """In plain words, where the files diverge."""

    def said(index: int) -> str:
        layer = found.layers[index]
        return f"{layer.second} ({layer.sqnr_db:g} dB)"

    if found.steepest is None:
        which = "every layer that has a partner" if found.unmatched else "every layer"
        return f"the files do not diverge: {which} agrees but for roundings"
    drop = f"the largest drop is at {said(found.steepest)}"
    if found.first_below is None:
        return f"no layer falls below {found.below:g} dB; {drop}"
    first = f"the outputs first diverge at {said(found.first_below)}, below {found.below:g} dB"
    return f"{first}, which is also the largest drop" if found.steepest == found.first_below else f"{first}; {drop}"


def int8_lines(seen: Inspection) -> list[str]:
    """How much of the work is done in int8, and whether its additions fit everywhere."""
    lines = []
    if seen.int8_macs:
        rest = f"; layers in float: {len(seen.stays_float)} (-v names them)" if seen.stays_float else ""
        lines.append(f"{seen.int8_macs:.1%} of the multiply-adds in int8{rest}")
    elif seen.overflow is not None and seen.int8_macs is None:
        lines.append("share of the multiply-adds in int8: not known, the file does not tell all sizes")
    if seen.overflow == ():
        lines.append("int8 additions cannot overflow: safe on every CPU")
    if seen.overflow:
        lines.append(
            f"can overflow on CPUs with AVX2 and without VNNI, where answers are wrong then: {many(len(seen.overflow), 'layers')}"
        )
        lines += [
            f"  {o.channels} of {o.of} channels of {o.layer} (worst pair sum {o.worst}, limit 128)"
            for o in seen.overflow
        ]
    return lines
