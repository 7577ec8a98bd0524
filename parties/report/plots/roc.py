"""The ROC curve at the agreed thresholds: what share of the events is found, at what share of false alarms."""

from parties.report.plots.drawing import FAINT, FONT, INK, PAPER, SERIES, Plot, drawing, is_number, themed
from parties.report.view import Cell, ReportTable

SIZE = (4.6, 4.4)  # inches


def plots(table: ReportTable) -> tuple[Plot, ...]:
    """Return the curve, or nothing when every point is withheld."""
    places = {column.name: i for i, column in enumerate(table.columns)}
    names = ("threshold", "false_positive_rate", "true_positive_rate")
    points = [tuple(row[places[name]] for name in names) for row in table.rows]
    shown = sorted(
        (_number(false), _number(true), _number(threshold))
        for threshold, false, true in points
        if is_number(false) and is_number(true)
    )
    if not shown:
        return ()
    with drawing(SIZE, salt=f"{table.name}/roc") as (axes, svg):
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (3, 3)))
        # Between the agreed thresholds nothing is known: thin lines only lead the eye.
        ends = [0.0, *(false for false, _, _ in shown), 1.0], [0.0, *(true for _, true, _ in shown), 1.0]
        axes.plot(*ends, color=SERIES[0], linewidth=1, alpha=0.6)
        for false, true, threshold in shown:
            axes.plot([false], [true], "o", color=SERIES[0], markersize=7, markeredgecolor=PAPER, markeredgewidth=1.2)
            axes.annotate(
                f"≥ {threshold:g}", (false, true), (7, -3), textcoords="offset points", color=INK, fontsize=FONT - 2
            )
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.05)
        axes.set_aspect("equal")
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
    caption = "True against false positive rate at the agreed thresholds"
    told = [f"{_number(each[0]):g}: {_told(each[2])} true, {_told(each[1])} false" for each in points]
    return (Plot(themed(svg.getvalue(), 0, table.name), caption, f"{caption}. {'; '.join(told)}."),)


def _number(cell: Cell) -> float:
    return float(cell.value or 0)


def _told(cell: Cell) -> str:
    return "withheld" if cell.withheld else f"{_number(cell):.3g}" if is_number(cell) else "no value"
