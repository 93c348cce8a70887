"""Draws the charts of the page with Altair, as SVG that stands in the HTML.

The SVG holds no script and loads nothing, so a page needs no megabyte of JavaScript and opens without a network. Colours are CSS
variables (templates/page.css), which change in dark mode. Arms differ in shape as well as in colour.
"""

from collections import Counter
from typing import Any, NamedTuple

from raddistill.errors import InputError
from raddistill.scoring.arms import ARMS

TITLES = {arm.name: arm.title for arm in ARMS} | {"training": "training", "validation": "validation"}
SHAPES = dict(zip(TITLES, ("circle", "diamond", "triangle-up", "square", "cross", "circle", "diamond"), strict=True))
AXES = {"predicted": "predicted probability", "observed": "share that people call present"}
FEW = 30  # points of a curve that are drawn one by one
WIDTH = 340  # pixels of the plotting area; with its labels a chart is about as wide as a phone
FONT = "Arial, 'Liberation Sans', sans-serif"  # what vl-convert measures words in
INK = "currentColor"
EXTRA = "altair and vl-convert-python draw the charts: `make env`, or `pip install 'raddistill[page]'`"

Rows = list[dict[str, Any]]


class Chart(NamedTuple):
    """A drawing. `title` says what it shows, also to those who do not see it; a table on the page has the figures."""

    title: str
    svg: str


def dots(title: str, rows: Rows, order: list[str], several: bool) -> Chart:
    """Returns a dot with its interval for each of `rows` (arm, label, f1, low, high).

    `order`: labels from the top. `several`: whether a label has several arms.
    """
    import altair as alt

    at: dict[str, Any] = {"y": alt.Y("label:N", sort=order, title=None)}
    if several:
        at["yOffset"] = alt.YOffset("arm:N", sort=list(TITLES))
    base = alt.Chart(alt.InlineData([row for row in rows if row["f1"] is not None]))
    x = alt.X("low:Q", title="F1", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=6))
    rules = base.mark_rule(strokeWidth=1.5).encode(x=x, x2="high:Q", **at, color=_by_arm(rows, legend=several))
    points = base.mark_point(filled=True, size=45, opacity=1).encode(x="f1:Q", **at, **_colour_and_shape(rows, several))
    return _draw(title, rules + points, alt.Step(9 if several else 24))


def lines(title: str, rows: Rows, x: str, y: str, unit: bool = False, diagonal: bool = False) -> Chart:
    """Returns a line for each arm of `rows` (arm, and the columns `x` and `y`); rows of the kind "point" stand alone.

    With `unit`, both axes go from 0 to 1; with `diagonal`, a dashed line shows where they are equal.
    """
    import altair as alt

    style: dict[str, Any] = {
        "axis": alt.Axis(tickCount=6, labelOverlap=True),
        "scale": alt.Scale(domain=[0, 1]) if unit else alt.Undefined,
    }
    at = {"x": alt.X(f"{x}:Q", title=AXES.get(x, x), **style), "y": alt.Y(f"{y}:Q", title=AXES.get(y, y), **style)}
    sizes = Counter(row["arm"] for row in rows)
    curves = [row for row in rows if row[y] is not None and row.get("kind") != "point"]
    points = [row for row in rows if row[y] is not None and (row.get("kind") == "point" or sizes[row["arm"]] <= FEW)]
    chart = alt.Chart(alt.InlineData(curves)).mark_line(strokeWidth=1.8).encode(**at, order=f"{x}:Q", color=_by_arm(rows))
    single = alt.Chart(alt.InlineData(points)).mark_point(filled=True, size=40, opacity=1)
    chart = chart + single.encode(**at, **_colour_and_shape(rows))
    if diagonal:
        ends = alt.Chart(alt.InlineData([{x: 0, y: 0}, {x: 1, y: 1}])).mark_line(strokeDash=[4, 4], color=INK, opacity=0.5)
        chart = ends.encode(x=f"{x}:Q", y=f"{y}:Q") + chart
    return _draw(title, chart, 250)


def bars(title: str, rows: Rows, order: list[str], colours: dict[str, str]) -> Chart:
    """Returns bars of `rows` (label, kind, cells); below 0 they go to the left. `colours`: kind to CSS colour."""
    import altair as alt

    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    colour = alt.Color("kind:N", title=None, scale=scale, legend=alt.Legend(columns=1))
    at = {"x": alt.X("cells:Q", axis=alt.Axis(tickMinStep=1, tickCount=6)), "y": alt.Y("label:N", sort=order, title=None)}
    chart = alt.Chart(alt.InlineData(rows)).mark_bar(size=11).encode(**at, color=colour)
    return _draw(title, chart, alt.Step(17))


def _by_arm(rows: Rows, kind: str = "Color", legend: bool = True) -> Any:
    import altair as alt

    arms = [arm for arm in TITLES if any(row["arm"] == arm for row in rows)]
    titled = f"({ ({arm: TITLES[arm] for arm in arms}) })[datum.label]"  # Vega reads it as Python does
    scale = alt.Scale(domain=arms, range=[f"var(--{arm})" if kind == "Color" else SHAPES[arm] for arm in arms])
    shown = alt.Legend(title=None, symbolOpacity=1, labelExpr=titled) if legend else None
    return getattr(alt, kind)("arm:N", scale=scale, legend=shown)


def _colour_and_shape(rows: Rows, legend: bool = True) -> dict[str, Any]:
    return {"color": _by_arm(rows, legend=legend), "shape": _by_arm(rows, "Shape", legend)}


def _draw(title: str, chart: Any, height: Any) -> Chart:
    ink = {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12}
    rules = {"gridColor": INK, "gridOpacity": 0.15, "domainColor": INK, "tickColor": INK, "titleFontWeight": "normal"}
    chart = chart.properties(width=WIDTH, height=height, background="transparent").configure(font=FONT)
    chart = chart.configure_view(stroke=None).configure_axis(**ink, **rules, labelLimit=220)
    chart = chart.configure_legend(**ink, orient="top", columns=3, labelLimit=300)
    return Chart(title, converter().vegalite_to_svg(chart.to_dict(), allowed_base_urls=[]))


def converter() -> Any:
    """Returns the module vl_convert, which holds Vega. Raises InputError if the extra `page` is not installed."""
    try:
        import altair  # noqa: F401 (so that its lack is said, too)
        import vl_convert
    except ModuleNotFoundError:
        raise InputError(EXTRA) from None
    return vl_convert
