#!/usr/bin/env python3
"""Curves instead of points: how throughput, latency and memory change with what is stored and how
it is sent.

usage: bench/growth.py BUILD [CURVE...]
curves: stored customers batch connections duplicates fields

Writes BUILD/bench/NAME.csv, BUILD/bench/NAME*.svg and BUILD/bench/index.html, a page with all of
them. Each point is the median of GROWTH_RUNS runs, which go round all points of a curve, and each
run of most curves has a fresh server; whiskers are the least and the most.

GROWTH_RUNS      runs of a point (3)
GROWTH_SECONDS   seconds a run (2)
GROWTH_EVENTS    stored events that `stored` goes up to (50M; 200M takes some 20 GB)
GROWTH_CUSTOMERS customers that `customers` goes up to (1M)
BENCH_DIR        where the data directories go: a real disk, not tmpfs (/var/tmp)
"""

import csv
import html
import os
import shutil
import subprocess
import sys

import plot
from server import Folder, Server, number, spread

RUNS = number("GROWTH_RUNS", 3)
SECONDS = number("GROWTH_SECONDS", 2)
EVENTS_MAX = number("GROWTH_EVENTS", "50M")
CUSTOMERS_MAX = number("GROWTH_CUSTOMERS", "1M")
RUNS_TEXT = "median of %d runs, whiskers: least and most" % RUNS if RUNS > 1 else "one run"
STORED_BYTES = 150  # an event, at most: what must be free on the disk
WARM = 300000  # events before the clock starts, so that a fresh server has its memory


def note(text):
    print(text, flush=True)


class Curve:
    """Points of one curve: x -> metric -> values of its runs."""

    def __init__(self, bench, name, x_name):
        self.bench, self.name, self.x_name = bench, name, x_name
        self.points = {}

    def add(self, x, **metrics):
        point = self.points.setdefault(x, {})
        for name, value in metrics.items():
            point.setdefault(name, []).append(value)
        note("  %s %s: %s" % (self.x_name, plot.short(x) if isinstance(x, (int, float)) else x,
                              ", ".join("%s %s" % (n.replace("_", " "), plot.short(v))
                                        for n, v in metrics.items())))

    def series(self, metric, scale=1):
        return [(x, tuple(v * scale for v in spread(point[metric])))
                for x, point in sorted(self.points.items()) if metric in point]

    def write(self):
        metrics = list(dict.fromkeys(m for point in self.points.values() for m in point))
        with open(self.bench.path(self.name + ".csv"), "w", newline="") as file:
            out = csv.writer(file)
            out.writerow([self.x_name] + [m + end for m in metrics for end in
                                          ("", "_least", "_most")] + ["runs"])
            for x, point in self.points.items():
                row = [x]
                for metric in metrics:
                    row += ["%.6g" % v for v in spread(point[metric])] if metric in point else \
                        [""] * 3
                out.writerow(row + [max(map(len, point.values()))])


def over(curve, points, measure):
    """Every point RUNS times, round by round: what else the machine does hits all of them."""
    for run in range(RUNS):
        note("%s, round %d of %d" % (curve.name, run + 1, RUNS))
        for x in points:
            curve.add(x, **measure(x))


class Bench:
    def __init__(self, build):
        self.build = os.path.realpath(build)
        os.makedirs(self.path(""), exist_ok=True)

    def path(self, name):
        return os.path.join(self.build, "bench", name)

    def fresh(self, folder):
        data = os.path.join(folder, "data")
        shutil.rmtree(data, ignore_errors=True)
        return Server(self.build, data)

    def measure(self, mode, warm=None, **options):
        """A fresh server under load; its report."""
        with Folder() as folder, self.fresh(folder) as server:
            server.load("wire", events=WARM, **(warm or {}))
            return server.load(mode, seconds=SECONDS, **options)

    def draw(self, name, title, x_label, y_label, series, **more):
        under = "%s; %s" % (RUNS_TEXT, more.pop("under"))
        plot.lines(self.path(name + ".svg"), title, under, x_label, y_label, series, **more)

    # --- the curves -----------------------------------------------------------------------------

    def stored(self):
        """One server that grows; at each mark the same load for a moment."""
        curve = Curve(self, "stored", "events")
        marks = [n * 10**p for p in (6, 7, 8) for n in (1, 2, 5)]
        with Folder() as folder, self.fresh(folder) as server:
            free = shutil.disk_usage(folder).free
            most = min(EVENTS_MAX, int(free * 0.8 / STORED_BYTES))
            if most < EVENTS_MAX:
                note("stored: the disk has room for %s events" % plot.short(most))
            note("stored, up to %s" % plot.short(most))
            there = 0
            for mark in [m for m in marks if m <= most]:
                there += self.fill(server, curve, mark - there, mark)
                for _ in range(RUNS):
                    got = server.load("http", seconds=SECONDS, connections=64, query_rate=50,
                                      customers=100000)
                    there += got["accepted"]
                    curve.add(mark, http_events_per_second=got["events_per_second"],
                              top_p99_ms=got["queries"]["latency_ns"]["p99"] / 1e6,
                              ack_p99_ms=got["latency_ns"]["p99"] / 1e6)
                curve.add(mark, memory_bytes=server.memory(), disk_bytes=server.disk(),
                          memory_bytes_per_event=server.memory() / there,
                          disk_bytes_per_event=server.disk() / there)
        curve.write()
        self.draw("stored", "Throughput against what is stored", "events stored", "events/s",
                  {"native": curve.series("wire_events_per_second"),
                   "HTTP": curve.series("http_events_per_second")}, x_log=True,
                  under="100,000 customers, top 100 asked for 50 times a second beside HTTP")
        self.draw("stored-bytes", "Bytes an event", "events stored", "bytes an event",
                  {"on disk": curve.series("disk_bytes_per_event"),
                   "private memory": curve.series("memory_bytes_per_event")},
                  x_log=True, y_log=True,
                  under="disk: log, indexes, snapshots; memory: keys, figures, buffers")
        self.draw("stored-latency", "Latency against what is stored", "events stored", "ms",
                  {"top 100, p99": curve.series("top_p99_ms"),
                   "batch of 1000, p99": curve.series("ack_p99_ms")}, x_log=True, y_log=True,
                  under="under full ingest by HTTP, 64 connections")

    @staticmethod
    def fill(server, curve, count, mark):
        """Adds events by native batches, and takes their rate; how many were added."""
        if count < 4096:
            return 0
        got = server.load("wire", events=count, connections=24, batch=4096, customers=100000,
                          timeout=3600)
        curve.add(mark, wire_events_per_second=got["events_per_second"])
        return got["accepted"]

    def customers(self):
        curve = Curve(self, "customers", "customers")

        def measure(count):
            with Folder() as folder, self.fresh(folder) as server:
                server.load("wire", events=max(WARM, 3 * count), customers=count)
                got = server.load("http", seconds=SECONDS, connections=64, customers=count,
                                  query_rate=50)
                return {"events_per_second": got["events_per_second"],
                        "top_p50_ms": got["queries"]["latency_ns"]["p50"] / 1e6,
                        "top_p99_ms": got["queries"]["latency_ns"]["p99"] / 1e6,
                        "memory_bytes": server.memory()}
        over(curve, [n for n in (10, 100, 1000, 10**4, 10**5, 10**6) if n <= CUSTOMERS_MAX],
             measure)
        curve.write()
        self.draw("customers", "Throughput against customers", "customers", "events/s",
                  {"HTTP": curve.series("events_per_second")}, x_log=True,
                  under="batches of 1000, top 100 asked for 50 times a second beside it")
        self.draw("customers-latency", "Top 100 customers by margin, under full ingest",
                  "customers", "ms", {"p50": curve.series("top_p50_ms"),
                                      "p99": curve.series("top_p99_ms")}, x_log=True, y_log=True,
                  under="50 times a second, by the binary socket")
        self.draw("customers-memory", "Private memory against customers", "customers", "MB",
                  {"memory": curve.series("memory_bytes", 1e-6)}, x_log=True, y_log=True,
                  under="after 3 events a customer and the measured load; keys included")

    def batch(self):
        curve = Curve(self, "batch", "events_a_batch")

        def measure(size):
            http = self.measure("http", batch=size, connections=64)
            wire = self.measure("wire", batch=size, connections=64)
            return {"http_events_per_second": http["events_per_second"],
                    "wire_events_per_second": wire["events_per_second"],
                    "http_ack_p99_ms": http["latency_ns"]["p99"] / 1e6,
                    "wire_ack_p99_ms": wire["latency_ns"]["p99"] / 1e6}
        over(curve, [1, 3, 10, 30, 100, 300, 1000], measure)
        curve.write()
        self.draw("batch", "Throughput against batch size", "events a batch", "events/s",
                  {"native": curve.series("wire_events_per_second"),
                   "HTTP": curve.series("http_events_per_second")}, x_log=True, y_log=True,
                  under="64 connections, every acknowledgement synced")
        self.draw("batch-latency", "Time to the acknowledgement against batch size",
                  "events a batch", "ms", {"native, p99": curve.series("wire_ack_p99_ms"),
                                           "HTTP, p99": curve.series("http_ack_p99_ms")},
                  x_log=True, y_log=True, under="64 connections, as fast as answers come")

    def connections(self):
        curve = Curve(self, "connections", "connections")

        def measure(count):
            http = self.measure("http", connections=count, batch=100)
            single = self.measure("single", connections=count)
            return {"http_events_per_second": http["events_per_second"],
                    "http_ack_p99_ms": http["latency_ns"]["p99"] / 1e6,
                    "single_events_per_second": single["events_per_second"],
                    "single_ack_p99_ms": single["latency_ns"]["p99"] / 1e6}
        over(curve, [1, 4, 16, 64, 256, 1000], measure)
        curve.write()
        self.draw("connections", "Throughput against connections", "connections", "events/s",
                  {"batches of 100": curve.series("http_events_per_second"),
                   "single events": curve.series("single_events_per_second")}, x_log=True,
                  y_log=True, under="HTTP, one request under way on each, every one synced")
        self.draw("connections-latency", "Time to the acknowledgement against connections",
                  "connections", "ms",
                  {"batches of 100, p99": curve.series("http_ack_p99_ms"),
                   "single events, p99": curve.series("single_ack_p99_ms")}, x_log=True,
                  y_log=True, under="HTTP, as fast as answers come")

    def duplicates(self):
        curve = Curve(self, "duplicates", "per_cent")

        def measure(share):
            same = {"seed": 5} if share == 100 else {}  # where all repeat, the first ones warm up
            got = {mode: self.measure(mode, duplicates=share * 10, connections=64,
                                      warm=same and dict(duplicates=1000, **same), **same)
                   for mode in ("http", "wire")}
            return {"%s_events_per_second" % mode: one["events_per_second"]
                    for mode, one in got.items()}
        over(curve, [0, 10, 25, 50, 75, 90, 100], measure)
        curve.write()
        self.draw("duplicates", "Throughput against repeated keys", "per cent duplicates",
                  "events/s, duplicates included",
                  {"native": curve.series("wire_events_per_second"),
                   "HTTP": curve.series("http_events_per_second")},
                  under="batches of 1000, 64 connections")

    def fields(self):
        """What prediction costs where it fails: decoding alone, and end to end."""
        kinds = [("as ever", {}), ("any order", {"shuffled": True}),
                 ("2 unexpected", {"unexpected": 2}), ("8 unexpected", {"unexpected": 8}),
                 ("any order, 8 unexpected", {"shuffled": True, "unexpected": 8})]
        curve = Curve(self, "fields", "members")

        def measure(kind):
            got = self.measure("http", connections=64, **dict(kinds)[kind])
            return {"events_per_second": got["events_per_second"],
                    "bytes_per_event": got["bytes"] / got["sent"]}
        over(curve, [name for name, _ in kinds], measure)
        for what, ratio in self.decode_ratios().items():
            curve.add("decoding, " + what, ns_plain=ratio[0], ns_predicted=ratio[1],
                      predicted_against_plain=ratio[1] / ratio[0])
        curve.write()
        plot.bars(self.path("fields.svg"), "Throughput against what the JSON looks like",
                  RUNS_TEXT + "; HTTP, batches of 1000",
                  "events/s",
                  [(name, spread(curve.points[name]["events_per_second"]), "%s, %.0f B an event" % (
                      plot.short(spread(curve.points[name]["events_per_second"])[0]),
                      spread(curve.points[name]["bytes_per_event"])[0])) for name, _ in kinds])

    def decode_ratios(self):
        """Nanoseconds an event that must be read plainly: (no tries made, tries made in vain)."""
        program = self.path("../bench-decode")
        if not os.path.exists(program):
            return {}
        done = subprocess.run([program], capture_output=True, text=True, check=True, timeout=300)
        values = {}
        for line in done.stdout.splitlines():
            words = dict(w.split("=", 1) for w in line.split() if "=" in w)
            if "name" in words:
                values[words["name"]] = float(words["value"])
        return {what: (values[what + "_plain"], values[what + "_predicted"])
                for what in ("shuffled", "unexpected")}

    def write_page(self):
        names = sorted(name.replace(".", " .") for name in os.listdir(self.path("")))
        charts, tables = ([name.replace(" ", "") for curve in CURVES for name in names
                           if name.startswith(curve) and name.endswith(end)]
                          for end in (".svg", ".csv"))
        with open(self.path("index.html"), "w") as page:
            page.write("<!doctype html><meta charset=utf-8><title>margind: growth</title>\n"
                       "<style>body{font:15px sans-serif;margin:2em;color:#222}"
                       "img{border:1px solid #ddd;margin:0 1em 1em 0;max-width:100%}</style>\n"
                       "<h1>margind: growth</h1>\n<p>Values: ")
            page.write(", ".join('<a href="%s">%s</a>' % (n, html.escape(n)) for n in tables))
            page.write("</p>\n")
            for name in charts:
                page.write('<img src="%s" alt="%s">\n' % (name, html.escape(name)))


CURVES = ("stored", "customers", "batch", "connections", "duplicates", "fields")


def main():
    if len(sys.argv) < 2 or not set(sys.argv[2:]) <= set(CURVES):
        sys.exit(__doc__)
    bench = Bench(sys.argv[1])
    for curve in sys.argv[2:] or CURVES:
        getattr(bench, curve)()
        bench.write_page()
    note("see %s" % bench.path("index.html"))


if __name__ == "__main__":
    main()
