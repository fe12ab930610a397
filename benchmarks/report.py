"""Writes what was measured: as a table, and as the README's picture for light and dark pages.

    python -m benchmarks.report benchmark-results/measured.json

puts both into this repository, and keeps the figures in ``benchmarks/measured.json``.
"""

import json
from pathlib import Path
from typing import Any

import click

from benchmarks.comparison import BY_HAND, DIRECT, OURS, geometric_mean
from benchmarks.fill import SCALES

MEASURED = Path(__file__).with_name("measured.json")
README = Path(__file__).with_name("README.md")
IMAGES = Path(__file__).parents[1] / "docs" / "images"

_MARK = "<!-- what python -m benchmarks.report writes -->"

_COLOURS = {
    "light": {"text": "#1f2328", "faint": "#59636e", "ours": "#0969da", "others": "#afb8c1"},
    "dark": {"text": "#f0f6fc", "faint": "#9198a1", "ours": "#4493f8", "others": "#545d68"},
}
_ROW, _LEFT, _WIDTH = 34, 240, 410


def means(figures: dict[str, Any]) -> dict[str, float]:
    """Average each contender's ratios over all calls, geometrically."""
    results = figures["results"]
    return {
        name: geometric_mean([one["ratios"][name][1] for one in results])
        for name in results[0]["ratios"]
    }


def bars(figures: dict[str, Any]) -> list[tuple[str, float]]:
    """Give each contender's time for a call beside psycopg2 by hand, the shortest first."""
    averages = means(figures)
    ours = averages[BY_HAND]
    found = {BY_HAND: 1.0, OURS: ours, DIRECT: averages[DIRECT]}
    for name, mean in averages.items():
        if name not in found:
            found[name] = ours / mean
    return sorted(found.items(), key=lambda one: one[1])


def table(figures: dict[str, Any]) -> str:
    """Write the table of all calls."""
    names = list(figures["results"][0]["ratios"])
    head = ["call", "µs", *(f"of {name}" if name != DIRECT else "direct mode" for name in names)]
    rows = [[*head, "round trips"], ["---"] * (len(head) + 1)]
    for one in figures["results"]:
        low, middle, high = one["ratios"][BY_HAND]
        cells = [f"{middle:.2f} ({low:.2f} to {high:.2f})"]
        cells += [f"{one['ratios'][name][1]:.2f}" for name in names[1:]]
        name, _, rest = one["call"].partition(",")
        call = f"`{name}`{',' if rest else ''}{rest}"
        rows.append([call, f"{one['medians'][OURS]:.0f}", *cells, f"{one['round_trips']:.2f}"])
    averages = means(figures)
    rows.append(["geometric mean", "", *(f"**{averages[name]:.2f}**" for name in names), ""])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def draw(figures: dict[str, Any], page: str) -> str:
    """Draw the bars as SVG for a *page* that is light or dark."""
    rows, colours = bars(figures), _COLOURS[page]
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
        f'<text x="12" y="{height - 8}" fill="{colours["faint"]}" font-size="12">'
        f"geometric mean of {len(figures['results'])} calls, by turns on one connection "
        "(python -m benchmarks)</text>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _told(rows: list[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in rows)


def pictures(figures: dict[str, Any], folder: Path) -> list[Path]:
    """Draw both pictures into a folder, and name them."""
    drawn = {folder / f"speed-{page}.svg": draw(figures, page) for page in _COLOURS}
    for path, picture in drawn.items():
        path.write_text(picture)
    return list(drawn)


def described(readme: str, figures: dict[str, Any]) -> str:
    """Put the table where its mark stands in a text, in place of the one that was there."""
    before, _, after = readme.split(_MARK)
    return f"{before}{_MARK}\n\n{table(figures)}\n{_MARK}{after}"


def read(path: Path) -> tuple[str, dict[str, Any], str]:
    """Give a run's figures, as they stand and parsed, and the README that shows them."""
    try:
        text = path.read_text()
        figures = json.loads(text)
        for page in _COLOURS:
            draw(figures, page)
        return text, figures, described(README.read_text(), figures)
    except OSError as error:
        raise click.ClickException(str(error)) from error
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise click.ClickException(
            f"{path} does not hold the figures of a run of python -m benchmarks"
        ) from error


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def main(file: Path) -> None:
    """Take over the figures of a run: FILE is the measured.json that it wrote."""
    text, figures, readme = read(file)
    if figures["doses"] < SCALES["small"]:
        raise click.ClickException(f"{file} is of a run with fewer doses than --scale small has")
    MEASURED.write_text(text)
    README.write_text(readme)
    written = [MEASURED, README, *pictures(figures, IMAGES)]
    click.echo(_told(bars(figures)))
    click.echo(f"written: {', '.join(map(str, written))}")


if __name__ == "__main__":
    main()
