"""The calendar of a report: a page that shows each dose of each day, for a screen or on paper.

It stands alone: no script, no font and no picture is loaded. A sign says what its colour says, for
those who cannot tell colours apart.
"""

from __future__ import annotations

from calendar import day_abbr
from collections.abc import Iterator
from datetime import date, timedelta
from html import escape
from itertools import groupby
from pathlib import Path

from homethrive_db.doses.adherence import AdherenceFigures, JudgedDose
from homethrive_db.doses.report import Report, percent
from homethrive_db.enums import DoseVerdict

_SIGNS = {
    DoseVerdict.TAKEN: ("✓", "taken"),
    DoseVerdict.LATE: ("!", "taken late"),
    DoseVerdict.MISSED: ("✕", "missed"),
    DoseVerdict.SKIPPED: ("&ndash;", "skipped"),
    DoseVerdict.MOVED: ("↷", "taken at another time"),
    DoseVerdict.OPEN: ("", "open"),
}

_STYLE = """
:root { color-scheme: light dark; --page: #fbfbf9; --card: #fff; --text: #22272e; --faint: #6b7280;
  --line: #e5e7eb; --taken: #1a7f4b; --late: #b7791f; --missed: #c53030; --skipped: #8a8f98; }
@media (prefers-color-scheme: dark) { :root { --page: #15181c; --card: #1e2329; --text: #e6e9ed;
  --faint: #9aa3ad; --line: #323941; --taken: #3fb27a; --late: #dfa23f; --missed: #f07171;
  --skipped: #7d8590; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1rem; max-width: 60rem; background: var(--page);
  color: var(--text); font: 16px/1.45 system-ui, sans-serif; }
header { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: end;
  gap: 1rem; }
h1 { margin: 0; font-size: 1.6rem; } h2 { margin: 2rem 0 .6rem; font-size: 1.1rem; }
p { margin: .2rem 0; color: var(--faint); }
.rate { font-size: 2.6rem; font-weight: 700; line-height: 1; text-align: right; }
.week { display: grid; grid-template-columns: repeat(7, minmax(0, 1fr)); gap: .35rem;
  margin-bottom: .35rem; }
.name { color: var(--faint); font-size: .8rem; text-align: center; }
.day { min-height: 4.6rem; padding: .35rem .4rem; border: 1px solid var(--line);
  border-radius: .5rem; background: var(--card); }
.day.outside { visibility: hidden; }
.date { font-size: .8rem; color: var(--faint); }
.dose { display: flex; align-items: center; gap: .3rem; font-size: .78rem; white-space: nowrap; }
.sign { flex: none; width: 1.05rem; height: 1.05rem; border-radius: 50%; display: grid;
  place-items: center; font-size: .7rem; font-weight: 700; color: #fff; border: 2px solid; }
.taken, .moved { background: var(--taken); border-color: var(--taken); }
.late { background: var(--late); border-color: var(--late); }
.missed { background: none; border-color: var(--missed); color: var(--missed); }
.skipped { background: none; border-color: var(--skipped); color: var(--skipped); }
.open { background: none; border-color: var(--faint); border-style: dotted; }
.what { overflow: hidden; text-overflow: ellipsis; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: .8rem 0 0; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: .4rem .5rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; } th { color: var(--faint); font-weight: 600; }
tfoot td { font-weight: 700; border-bottom: 0; }
@media (max-width: 40rem) { .what { display: none; } .dose { gap: .2rem; }
  .day { padding: .25rem; } table { font-size: .8rem; } th, td { padding: .3rem .2rem; } }
@media print { body { padding: 0; } .day { break-inside: avoid; }
  * { print-color-adjust: exact; } }
"""


_HEAD = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="generator" content="homethrive-db report">
"""


def may_replace(path: Path) -> bool:
    """Say whether a page may be written to *path*: one of before is there, or nothing."""
    if not path.is_file():
        return True
    with path.open("rb") as there:
        begins = there.read(len(_HEAD))
    return begins in {b"", _HEAD.encode()}


def page(report: Report) -> str:
    """Write the page, in HTML."""
    name = escape(report.recipient.display_name)
    return _HEAD + "\n".join(
        (
            f"<title>{name}, {report.period}</title>",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<style>{_STYLE}</style></head><body>",
            f"<header><div><h1>{name}</h1><p>{report.period}</p></div>",
            f'<div><div class="rate">{percent(report.adherence.total)}</div>',
            f"<p>{_of_what(report.adherence.total)}</p></div></header>",
            *_calendar(report),
            *_table(report),
            "</body></html>\n",
        )
    )


def _of_what(total: AdherenceFigures) -> str:
    if total.rate is not None:
        return "of what was due and not skipped was taken"
    return "every dose that was due was skipped" if total.due else "no dose was due"


def _calendar(report: Report) -> Iterator[str]:
    doses = sorted(report.adherence.doses, key=lambda one: one.dose.local_date)
    days = {day: list(of_day) for day, of_day in groupby(doses, lambda one: one.dose.local_date)}
    first, last = min([report.first, *days]), max([report.last, *days])
    names = "".join(f'<div class="name">{name}</div>' for name in day_abbr)
    yield f'<h2>Day by day</h2><div class="week">{names}</div>'
    monday = first - timedelta(days=first.weekday())
    while monday <= last:
        week = [monday + timedelta(days=number) for number in range(7)]
        cells = (_day(day, days.get(day, []), first <= day <= last) for day in week)
        yield f'<div class="week">{"".join(cells)}</div>'
        monday += timedelta(days=7)
    signs = (f'<span class="dose">{_sign(one)}{told}</span>' for one, (_, told) in _SIGNS.items())
    yield f'<div class="legend">{"".join(signs)}</div>'


def _day(day: date, doses: list[JudgedDose], is_inside: bool) -> str:
    if not is_inside:
        return '<div class="day outside"></div>'
    told = f"{day:%-d %b}" if day.day == 1 else f"{day:%-d}"
    lines = "".join(map(_dose, doses))
    return (
        f'<div class="day"><div class="date" title="{day:%A %-d %B %Y}">{told}</div>{lines}</div>'
    )


def _dose(judged: JudgedDose) -> str:
    dose, verdict = judged
    name = escape(dose.medication_name, quote=True)
    title = f"{dose.local_time:%H:%M} {name}: {_SIGNS[verdict][1]}"
    if dose.skip_reason:
        title += f" ({escape(dose.skip_reason, quote=True)})"
    return (
        f'<div class="dose" title="{title}">{_sign(verdict)}'
        f'<span class="what">{dose.local_time:%H:%M} {name}</span></div>'
    )


def _sign(verdict: DoseVerdict) -> str:
    sign, told = _SIGNS[verdict]
    return f'<span class="sign {verdict}" role="img" aria-label="{told}">{sign}</span>'


def _table(report: Report) -> Iterator[str]:
    yield "<h2>By medication</h2><table><thead><tr><th>Medication</th><th>Due</th><th>Taken</th>"
    yield "<th>Late</th><th>Missed</th><th>Skipped</th><th>Rate</th></tr></thead>"

    def row(name: str, figures: AdherenceFigures) -> str:
        cells = (
            figures.due,
            figures.taken,
            figures.late,
            figures.missed,
            figures.skipped,
            percent(figures),
        )
        return f"<tr><td>{escape(name)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"

    rows = [row(one.medication_name, one.figures) for one in report.adherence.medications]
    yield f"<tbody>{''.join(rows)}</tbody>"
    yield f"<tfoot>{row('All medications', report.adherence.total)}</tfoot></table>"
    if report.adherence.unmatched:
        yield (
            f"<p>Recorded at times at which their schedules have no dose: "
            f"{len(report.adherence.unmatched)}</p>"
        )
