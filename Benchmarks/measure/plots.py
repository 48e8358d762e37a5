"""Plots as SVG, drawn from nothing but rectangles, lines and text."""

import math
from html import escape

COLOURS = {"cognitofs": "#c2410c", "limit": "#111827", "passthrough": "#6b7280", "s3fs": "#2563eb", "rclone": "#059669", "geesefs": "#7c3aed"}
GRID, INK = "#e5e7eb", "#111827"


class Drawing:
    def __init__(self, width, height):
        self._width, self._height, self._parts = width, height, []

    def line(self, x1, y1, x2, y2, colour=INK, width=1.0):
        self._parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>')

    def bar(self, x, y, width, height, colour, title=""):
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height:.1f}" fill="{colour}"><title>{escape(title)}</title></rect>'
        )

    def path(self, points, colour):
        self._parts.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="' + " ".join(f"{x:.1f},{y:.1f}" for x, y in points) + '"/>'
        )
        self._parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]

    def text(self, x, y, words, anchor="start", size=12, colour=INK):
        self._parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{escape(words)}</text>')

    def svg(self):
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self._width} {self._height}" font-family="sans-serif">'
        back = f'<rect width="{self._width}" height="{self._height}" fill="#ffffff"/>'
        return "\n".join([head, back, *self._parts, "</svg>"]) + "\n"


class Scale:
    """Places of numbers on a logarithmic axis; numbers beyond its ends are drawn at the ends."""

    def __init__(self, least, most, first, last):
        self.least, self.most, self._first, self._last = least, most, first, last

    def __call__(self, number):
        number = min(max(number, self.least), self.most)
        share = math.log(number / self.least) / math.log(self.most / self.least)
        return self._first + share * (self._last - self._first)

    def ticks(self):
        """The powers of ten on it."""
        first, last = math.ceil(math.log10(self.least) - 1e-9), math.floor(math.log10(self.most) + 1e-9)
        return [10.0**power for power in range(first, last + 1)]


def legend(drawing, names, x, y):
    for name in names:
        drawing.bar(x, y - 9, 10, 10, COLOURS.get(name, INK))
        drawing.text(x + 14, y, name)
        x += 30 + 7.5 * len(name)


def goals_plot(report, round_trip):
    """A bar for each figure and system: how many times the goal it takes. Left of the line is within the goal."""
    systems = [name for name in report.systems() if name not in ("limit", "passthrough")]
    lines = [pair for pair in report.lines() if pair[1].goal is not None and report.share_of_goal(*pair, systems[0], round_trip) is not None]
    thick, left, width = 10, 430, 940
    step = thick * len(systems) + 10
    height = 70 + step * len(lines) + 30
    drawing, scale = Drawing(width, height), Scale(0.01, 100, left, width - 20)
    drawing.text(10, 22, f"Figures as multiples of their goals, round trip {round_trip:g} ms (1 and below: met)", size=15)
    legend(drawing, systems, left, 44)
    for tick in scale.ticks():
        drawing.line(scale(tick), 54, scale(tick), height - 24, GRID)
        drawing.text(scale(tick), height - 8, f"{tick:g}", "middle")
    for index, (workload, figure) in enumerate(lines):
        top = 60 + index * step
        drawing.text(left - 8, top + step / 2, f"{figure.row}  {report.title(figure).replace('`', '')}", "end")
        for place, system in enumerate(systems):
            share = report.share_of_goal(workload, figure, system, round_trip)
            if share is not None:
                drawing.bar(left, top + place * thick, scale(share) - left, thick - 1, COLOURS.get(system, INK), f"{system}: {share:.2f}")
    drawing.line(scale(1), 54, scale(1), height - 24, INK, 1.5)
    return drawing.svg()


def lines_plot(title, across, up, series):
    """Lines {name: [(x, y), ...]} on two logarithmic axes."""
    points = [point for line in series.values() for point in line]
    width, height, left, bottom = 640, 420, 70, 370
    x = Scale(min(p[0] for p in points), max(max(p[0] for p in points), 1.0001 * min(p[0] for p in points)), left, width - 20)
    low, high = min(p[1] for p in points), max(p[1] for p in points)
    y = Scale(10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high * 1.0001)), bottom, 60)
    drawing = Drawing(width, height)
    drawing.text(10, 22, f"{title} ({up})", size=15)
    legend(drawing, series, left, 44)
    for tick in y.ticks():
        drawing.line(left, y(tick), width - 20, y(tick), GRID)
        drawing.text(left - 6, y(tick) + 4, f"{tick:g}", "end")
    for place in sorted({point[0] for point in points}):
        drawing.line(x(place), 60, x(place), bottom, GRID)
        drawing.text(x(place), bottom + 16, f"{place:,g}", "middle", 10)
    drawing.text(width / 2, height - 10, across, "middle")
    for name, line in series.items():
        drawing.path([(x(a), y(b)) for a, b in line], COLOURS.get(name, INK))
    return drawing.svg()


def write_plots(report, folder):
    """goals-RTT.svg for each round trip."""
    folder.mkdir(parents=True, exist_ok=True)
    for round_trip in report.round_trips():
        (folder / f"goals-{round_trip:g}.svg").write_text(goals_plot(report, round_trip))
