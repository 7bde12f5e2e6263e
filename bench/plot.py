"""plot.py: charts as SVG, written by hand: lines over linear or logarithmic axes, and bars.

A value is (median, least, most); the last two are drawn as a whisker.
"""

import html
import math

WIDTH, HEIGHT = 760, 430
LEFT, RIGHT, TOP, BOTTOM = 78, 168, 74, 58
# Okabe and Ito's colours, which people who see colours differently tell apart, too.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
STYLE = """
text { font: 12px -apple-system, "Segoe UI", "DejaVu Sans", Arial, sans-serif; fill: #444; }
.title { font-size: 17px; font-weight: 600; fill: #111; }
.under { font-size: 12px; fill: #666; }
.name { font-weight: 600; }
.grid { stroke: #e6e6e6; }
.minor { stroke: #f3f3f3; }
.axis { stroke: #888; }
"""


def short(value):
    """1500000 -> 1.5M"""
    if value == 0:
        return "0"
    for size, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9995:
            return "%.3g%s" % (value / size, suffix)
    return "%.3g" % value


class Axis:
    """From what the values are to where they lie, `begin` to `end` in pixels."""

    def __init__(self, label, values, begin, end, log=False, unit=short):
        self.label, self.log, self.unit = label, log, unit
        self.begin, self.end = begin, end
        if log:
            values = [value for value in values if value > 0] or [1]
            self.low = math.log10(min(values))
            self.high = math.log10(max(values))
            if self.high - self.low < 0.3:
                self.low, self.high = self.low - 0.3, self.high + 0.3
        else:
            self.low = min(0, min(values))
            self.high = max(values) or 1
        if log or end < begin:  # room above the highest point
            room = (self.high - self.low) * 0.06
            self.high += room
            self.low -= room if log else 0

    def place(self, value):
        at = math.log10(max(value, 1e-300)) if self.log else value
        share = (at - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)

    def ticks(self):
        """(value, major) of each line."""
        return self.log_ticks() if self.log else self.linear_ticks()

    def linear_ticks(self):
        rough = (self.high - self.low) / 5
        size = 10 ** math.floor(math.log10(rough))
        step = next(s * size for s in (1, 2, 2.5, 5, 10) if s * size >= rough)
        first = math.ceil(self.low / step)
        return [(n * step, True) for n in range(first, int(self.high / step) + 1)]

    def log_ticks(self):
        decades = self.high - self.low
        major = (1,) if decades > 2.2 else (1, 2, 5) if decades > 0.9 else (1, 1.5, 2, 3, 4, 5, 7)
        found = []
        for power in range(math.floor(self.low), math.ceil(self.high) + 1):
            for digit in sorted(set(major) | set(range(1, 10))):
                value = digit * 10.0 ** power
                if self.low - 1e-9 <= math.log10(value) <= self.high + 1e-9:
                    found.append((value, digit in major))
        return found


class Svg:
    def __init__(self, width, height, title, under):
        self.parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" '
                      'height="%d">' % (width, height, width, height),
                      "<style>%s</style>" % STYLE,
                      '<rect width="100%" height="100%" fill="#fff"/>']
        self.text(16, 28, title, "title")
        self.text(16, 48, under, "under")

    def text(self, x, y, text, kind="", anchor="start", colour=None, turn=0):
        more = ' fill="%s" style="fill:%s"' % (colour, colour) if colour else ""
        more += ' transform="rotate(%d %.1f %.1f)"' % (turn, x, y) if turn else ""
        self.parts.append('<text x="%.1f" y="%.1f" class="%s" text-anchor="%s"%s>%s</text>' %
                          (x, y, kind, anchor, more, html.escape(text)))

    def line(self, x1, y1, x2, y2, kind="", more=""):
        self.parts.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s" %s/>' %
                          (x1, y1, x2, y2, kind, more))

    def add(self, part):
        self.parts.append(part)

    def write(self, path):
        with open(path, "w") as file:
            file.write("\n".join(self.parts) + "\n</svg>\n")


def draw_axes(svg, x, y):
    for value, major in y.ticks():
        svg.line(x.begin, y.place(value), x.end, y.place(value), "grid" if major else "minor")
        if major:
            svg.text(x.begin - 8, y.place(value) + 4, y.unit(value), anchor="end")
    for value, major in x.ticks():
        svg.line(x.place(value), y.begin, x.place(value), y.end, "grid" if major else "minor")
        if major:
            svg.text(x.place(value), y.begin + 18, x.unit(value), anchor="middle")
    svg.line(x.begin, y.begin, x.end, y.begin, "axis")
    svg.line(x.begin, y.begin, x.begin, y.end, "axis")
    svg.text((x.begin + x.end) / 2, y.begin + 42, x.label, anchor="middle")
    svg.text(20, (y.begin + y.end) / 2, y.label, anchor="middle", turn=-90)


def draw_series(svg, x, y, points, colour):
    places = [(x.place(at), y.place(value[0])) for at, value in points]
    svg.add('<polyline points="%s" fill="none" stroke="%s" stroke-width="2.2" '
            'stroke-linejoin="round"/>' % (" ".join("%.1f,%.1f" % p for p in places), colour))
    for (at, value), (px, py) in zip(points, places):
        if value[2] > value[1]:
            svg.line(px, y.place(value[1]), px, y.place(value[2]), "",
                     'stroke="%s" stroke-width="1.2" opacity="0.6"' % colour)
        svg.add('<circle cx="%.1f" cy="%.1f" r="3.6" fill="%s" stroke="#fff"><title>%s: %s '
                '(%s to %s)</title></circle>' % ((px, py, colour, x.unit(at)) +
                                                 tuple(y.unit(v) for v in value)))


def draw_names(svg, x, ends):
    """The series' names at their ends, apart from each other."""
    ends = sorted(ends)
    for i in range(1, len(ends)):
        ends[i] = (max(ends[i][0], ends[i - 1][0] + 15),) + ends[i][1:]
    for at, name, colour in ends:
        svg.text(x.end + 10, at + 4, name, "name", colour=colour)


def lines(path, title, under, x_label, y_label, series, x_log=False, y_log=False, unit=short):
    """`series`: name -> [(x, (median, least, most))]."""
    series = {name: points for name, points in series.items() if points}
    points = [point for one in series.values() for point in one]
    if not points:
        return
    svg = Svg(WIDTH, HEIGHT, title, under)
    x = Axis(x_label, [at for at, _ in points], LEFT, WIDTH - RIGHT, x_log)
    y = Axis(y_label, [v for _, value in points for v in value], HEIGHT - BOTTOM, TOP, y_log, unit)
    draw_axes(svg, x, y)
    ends = []
    for (name, one), colour in zip(series.items(), COLOURS):
        draw_series(svg, x, y, one, colour)
        ends.append((y.place(one[-1][1][0]), name, colour))
    draw_names(svg, x, ends)
    svg.write(path)


def bars(path, title, under, x_label, values, unit=short):
    """`values`: [(name, (median, least, most), words beside it)]."""
    height = TOP + 44 * len(values) + BOTTOM
    svg = Svg(WIDTH, height, title, under)
    left = 210
    x = Axis(x_label, [v for _, value, _ in values for v in value] + [0], left, WIDTH - RIGHT,
             unit=unit)
    for value, _ in x.ticks():
        svg.line(x.place(value), TOP, x.place(value), height - BOTTOM, "grid")
        svg.text(x.place(value), height - BOTTOM + 18, unit(value), anchor="middle")
    for i, (name, value, words) in enumerate(values):
        y = TOP + 44 * i + 8
        svg.text(left - 10, y + 18, name, "name", anchor="end")
        svg.add('<rect x="%.1f" y="%.1f" width="%.1f" height="28" fill="%s" rx="2"/>' %
                (left, y, x.place(value[0]) - left, COLOURS[0]))
        svg.line(x.place(value[1]), y + 14, x.place(value[2]), y + 14, "",
                 'stroke="#111" stroke-width="1.5"')
        svg.text(x.place(max(value)) + 10, y + 18, words)
    svg.line(left, TOP, left, height - BOTTOM, "axis")
    svg.text((left + WIDTH - RIGHT) / 2, height - BOTTOM + 42, x_label, anchor="middle")
    svg.write(path)
