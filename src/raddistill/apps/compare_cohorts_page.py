"""The comparison of two cohorts as a page for people: one table, and notes on how to read it."""

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from raddistill.apps.compare_cohorts import Cohort, Comparison, Difference

HIDDEN = {"labels uncertain", "labels absent"}  # in the JSON only; the page would be three times as long


def page(comparison: Comparison) -> RenderableType:
    """Returns the comparison as one table, section by section, with notes on how to read it."""
    first, second = comparison.cohorts
    table = Table(title=escape(f"{first.name} and {second.name}"), title_justify="left")
    for column in ("", escape(first.name), escape(second.name), "difference"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for section, rows in comparison.rows.items():
        if section not in HIDDEN:
            table.add_section()
            table.add_row(f"[bold]{section}[/bold]")
            for name, row in rows.items():
                table.add_row(f"  {escape(name)}", *(_cell(value, row.is_percent) for value in row.values), _difference(row))
    return Group(table, *map(escape, _notes(first, second)))


def _notes(first: Cohort, second: Cohort) -> list[str]:
    notes = ["Differences: second minus first, shares in percentage points with the 95 % interval of independent reports."]
    if first.labels is not None and second.labels is not None:
        notes.append(f"Labelled by {', '.join(first.labellers)} and by {', '.join(second.labellers)}.")
        if first.labellers != second.labellers:
            notes.append("Other labellers: rates differ for that reason, too. For a fair comparison let one teacher label both.")
    for cohort in (c for c in (first, second) if c.unknown_ids):
        notes.append(
            f"{cohort.unknown_ids} ids with labels are not in the table of reports of {cohort.name}; they were left out."
        )
    return notes


def _cell(value: float | None, is_percent: bool) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.1f} %" if is_percent else f"{value:,.{_decimals(value)}f}"


def _difference(row: Difference) -> str:
    if row.difference is None:
        return "-"
    if not row.is_percent:
        return f"{row.difference:+,.{max(_decimals(v) for v in row.values if v is not None)}f}"
    shown = f"{100 * row.difference:+.1f}"
    if row.low is None or row.high is None:
        return shown
    shown += f" ({100 * row.low:+.1f} to {100 * row.high:+.1f})"
    return f"[bold]{shown}[/bold]" if row.low > 0 or row.high < 0 else shown


def _decimals(value: float) -> int:
    return 0 if float(value).is_integer() else 1 if value >= 10 else 2
