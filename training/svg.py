"""A reliability diagram as a small SVG, drawn without a plotting library."""

from __future__ import annotations

from collections.abc import Sequence

from training.evaluation import Bin

SIDE, MARGIN = 320, 40


def reliability_svg(table: Sequence[Bin]) -> str:
    """Return the picture: promised probability across, share won upwards, the diagonal ideal.

    A dot's area grows with the rows behind it.
    """
    largest = max((row.weight for row in table), default=1.0)
    dots = "".join(
        f'<circle cx="{_x(row.mean_p):.1f}" cy="{_y(row.won_share):.1f}" '
        f'r="{2 + 6 * (row.weight / largest) ** 0.5:.1f}" fill="#2563eb" fill-opacity="0.7">'
        f"<title>promised {row.mean_p:.3f}, won {row.won_share:.3f}, n={row.n}</title></circle>"
        for row in table
    )
    ticks = "".join(
        f'<text x="{_x(mark):.0f}" y="{SIDE + MARGIN + 16}" text-anchor="middle">{mark:.1f}</text>'
        f'<text x="{MARGIN - 6}" y="{_y(mark) + 4:.0f}" text-anchor="end">{mark:.1f}</text>'
        for mark in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    )
    whole = SIDE + 2 * MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {whole}" '
        'font-family="sans-serif" font-size="11">'
        f'<rect x="{MARGIN}" y="{MARGIN}" width="{SIDE}" height="{SIDE}" fill="none" '
        'stroke="#999"/>'
        f'<line x1="{_x(0):.0f}" y1="{_y(0):.0f}" x2="{_x(1):.0f}" y2="{_y(1):.0f}" '
        'stroke="#999" stroke-dasharray="4 4"/>'
        f"{ticks}{dots}"
        f'<text x="{whole / 2:.0f}" y="{whole - 6}" text-anchor="middle">promised</text>'
        f'<text x="{MARGIN}" y="{MARGIN - 12}">share won, on later time</text></svg>\n'
    )


def _x(share: float) -> float:
    return MARGIN + SIDE * share


def _y(share: float) -> float:
    return MARGIN + SIDE * (1.0 - share)
