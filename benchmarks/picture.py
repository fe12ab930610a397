"""Draws the README's picture of what a call costs, for light and for dark pages.

    python -m benchmarks.picture plain.json direct.json docs

The figures are those that ``python -m benchmarks --json`` wrote, without and with ``--prepared``.
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.by_hand import ByHand
from benchmarks.comparison import OURS, geometric_mean

_COLOURS = {
    "light": {"text": "#1f2328", "faint": "#59636e", "ours": "#0969da", "others": "#afb8c1"},
    "dark": {"text": "#f0f6fc", "faint": "#9198a1", "ours": "#4493f8", "others": "#545d68"},
}
_ROW, _LEFT, _WIDTH = 34, 240, 410


def bars(plain: dict[str, Any], direct: dict[str, Any]) -> list[tuple[str, float]]:
    """Give each contender's time for a call beside psycopg2 by hand, the shortest first."""
    by_hand = _mean(plain, ByHand.name)
    found = {ByHand.name: 1.0, OURS: by_hand, f"{OURS}, direct mode": _mean(direct, ByHand.name)}
    for name in plain["results"][0]["ratios"]:
        if name != ByHand.name:
            found[name] = by_hand / _mean(plain, name)
    return sorted(found.items(), key=lambda one: one[1])


def _mean(figures: dict[str, Any], name: str) -> float:
    return geometric_mean([one["ratios"][name][1] for one in figures["results"]])


def draw(rows: list[tuple[str, float]], colours: dict[str, str], calls: int) -> str:
    """Draw the bars."""
    longest = max(value for _, value in rows)
    height = _ROW * len(rows) + 64
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}" role="img"',
        ' font-family="system-ui, sans-serif" font-size="14">',
        f"<title>Time of a call beside psycopg2 by hand: {_told(rows)}</title>",
        f'<text x="12" y="24" fill="{colours["text"]}" font-weight="600">Time of a call, '
        "psycopg2 by hand = 1.00</text>",
    ]
    for number, (name, value) in enumerate(rows):
        top = 44 + number * _ROW
        colour = colours["ours"] if name.startswith(OURS) else colours["others"]
        length = value / longest * _WIDTH
        lines += [
            f'<text x="{_LEFT - 10}" y="{top + 17}" text-anchor="end" fill="{colours["text"]}">'
            f"{name}</text>",
            f'<rect x="{_LEFT}" y="{top}" width="{length:.1f}" height="24" rx="3" '
            f'fill="{colour}"/>',
            f'<text x="{_LEFT + length + 8:.1f}" y="{top + 17}" fill="{colours["text"]}">'
            f"{value:.2f}</text>",
        ]
    lines += [
        f'<text x="12" y="{height - 8}" fill="{colours["faint"]}" font-size="12">geometric mean of '
        f"{calls} calls, by turns on one connection (python -m benchmarks)</text>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _told(rows: list[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in rows)


def main() -> None:
    """Write both pictures."""
    plain, direct = (json.loads(Path(path).read_text()) for path in sys.argv[1:3])
    rows = bars(plain, direct)
    for page, colours in _COLOURS.items():
        picture = draw(rows, colours, len(plain["results"]))
        Path(sys.argv[3], f"speed-{page}.svg").write_text(picture)
    print(_told(rows))


if __name__ == "__main__":
    main()
