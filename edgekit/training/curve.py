"""The learning curve as an SVG: losses on the left, top-1, mIoU or mAP on the validation images on the right."""

from collections.abc import Sequence

import msgspec

WIDTH, HEIGHT, MARGIN = 360, 220, 44


class Epoch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of metrics.jsonl. cpu_seconds: of the whole run so far, without the processes that read images."""

    epoch: int
    step: int
    lr: float
    train_loss: float
    val_loss: float
    best: bool
    unreadable: int
    cpu_seconds: float
    val_top1: float | None = None
    val_miou: float | None = None
    val_map: float | None = None
    val_ap50: float | None = None

    @property
    def share(self) -> tuple[str, float]:
        """By its name."""
        shares = {"top-1": self.val_top1, "mIoU": self.val_miou, "mAP": self.val_map}
        return next(((name, share) for name, share in shares.items() if share is not None), ("top-1", 0.0))


def draw(epochs: Sequence[Epoch]) -> str:
    """The whole file."""
    loss = {"training": [e.train_loss for e in epochs], "validation": [e.val_loss for e in epochs]}
    name = epochs[0].share[0]
    shares = {"validation": [100 * epoch.share[1] for epoch in epochs]}
    panels = _panel("loss", loss, 0) + _panel(f"{name}, %", shares, WIDTH)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="11">\n<rect width="100%" height="100%" fill="white"/>\n{panels}</svg>\n'
    )


def _panel(title: str, lines: dict[str, list[float]], left: int) -> str:
    values = [v for line in lines.values() for v in line]
    low, high = min(values), max(values)
    span, count = (high - low) or 1.0, max(len(line) for line in lines.values())

    def at(i: int, value: float) -> str:
        x = left + MARGIN + (WIDTH - 2 * MARGIN) * (i / max(count - 1, 1))
        y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (value - low) / span
        return f"{x:.1f},{y:.1f}"

    drawn = [f'<text x="{left + MARGIN}" y="20" font-weight="bold">{title}</text>']
    for value in (low, high):
        y = at(0, value).partition(",")[2]
        drawn.append(f'<line x1="{left + MARGIN}" x2="{left + WIDTH - MARGIN}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        drawn.append(f'<text x="{left + MARGIN - 4}" y="{y}" text-anchor="end">{value:.3g}</text>')
    drawn += [
        f'<text x="{left + MARGIN}" y="{HEIGHT - 24}">1</text>',
        f'<text x="{left + WIDTH - MARGIN}" y="{HEIGHT - 24}" text-anchor="end">epoch {count}</text>',
    ]
    for i, (name, line) in enumerate(lines.items()):
        color = ("#1f77b4", "#d62728")[name == "validation"]
        points = " ".join(at(j, value) for j, value in enumerate(line))
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>')
        drawn += [
            f'<circle cx="{p.partition(",")[0]}" cy="{p.partition(",")[2]}" r="2" fill="{color}"/>'
            for p in points.split()
        ]
        drawn.append(f'<text x="{left + 130 + 90 * i}" y="20" fill="{color}">{name}</text>')
    return "\n".join(drawn) + "\n"
