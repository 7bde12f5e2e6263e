#!/usr/bin/env python3
"""How long a start takes: from a snapshot, and from the log alone, with and without the files in
the page cache; and what share of the log's read speed a start from the log reaches.

usage: bench/restart.py BUILD

A server takes in events up to each mark, stops in order, and is started again RESTART_RUNS times
in each way. "Ready" is from the program's start to its line event=ready. There are two references,
in the same state of the cache: a plain sequential read of the log's file in pieces of 1 MiB, and
`inspect DIR verify`, which reads the same blocks, checks them and decodes all of them, but makes
nothing of them. Prints a table, writes BUILD/bench/restart.csv and restart.svg.

RESTART_EVENTS   the last mark; those before are 1M, 10M, 100M (100M: some 5 GB of disk)
RESTART_RUNS     starts in each way (3)
BENCH_DIR        where the data directory goes: a real disk, not tmpfs (/var/tmp)
"""

import csv
import os
import shutil
import subprocess
import sys
import time

import plot
from server import Folder, Server, number, spread

EVENTS_MAX = number("RESTART_EVENTS", "100M")
RUNS = number("RESTART_RUNS", 3)
PIECE = 1 << 20


def files(data):
    return [os.path.join(folder, name) for folder, _, names in os.walk(data) for name in names]


def forget(data):
    """Takes the directory's files out of the page cache; what else is cached stays."""
    for path in files(data):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_plainly(path):
    """Seconds for all of the file, from its begin to its end."""
    begin = time.monotonic()
    with open(path, "rb", buffering=0) as file:
        while file.read(PIECE):
            pass
    return time.monotonic() - begin


def read_and_decode(build, data):
    begin = time.monotonic()
    subprocess.run([build + "/inspect", data, "verify"], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


def set_cache(data, cold):
    if cold:
        forget(data)
    else:
        for path in files(data):
            read_plainly(path)


def start(build, data, cold, events, from_log):
    """Seconds to ready; the directory has a snapshot again afterwards."""
    if from_log:
        shutil.rmtree(data + "/snapshots")
    set_cache(data, cold)
    with Server(build, data) as server:
        words = dict(word.split("=", 1) for word in server.line("recovered").split()
                     if "=" in word)
        replayed = int(words["replayed_events"])
        if replayed != (events if from_log else 0):
            sys.exit("bench: %d events were replayed of %d" % (replayed, events))
        return server.ready_seconds


def measure(build, data, events):
    """Rows of the table at one mark."""
    log = data + "/log/data.mdb"
    for cold in (True, False):
        reads, decodes = [], []
        for _ in range(RUNS):
            set_cache(data, cold)
            reads.append(read_plainly(log))
            set_cache(data, cold)
            decodes.append(read_and_decode(build, data))
        log_bytes = os.stat(log).st_blocks * 512
        for from_log in (False, True):
            seconds = spread([start(build, data, cold, events, from_log) for _ in range(RUNS)])
            yield {"events": events, "log_bytes": log_bytes,
                   "from": "log" if from_log else "snapshot",
                   "cache": "cold" if cold else "warm",
                   "ready_seconds": seconds, "read_seconds": spread(reads),
                   "decode_seconds": spread(decodes)}


def print_head():
    print("%6s  %-8s %-4s %27s  %14s  %22s  %25s" % (
        "events", "from", "files", "ready", "events/s", "of a plain read",
        "of reading and decoding"))


def print_row(row):
    ready = row["ready_seconds"]
    words = "%6s  %-8s %-5s %8.2f s (%.2f to %.2f)" % (
        (plot.short(row["events"]), row["from"], row["cache"]) + ready)
    if row["from"] == "log":
        read, decode = row["read_seconds"][0], row["decode_seconds"][0]
        words += "  %12s/s  %6.3fx of %5.0f MB/s  %8.3fx of %6s/s" % (
            plot.short(row["events"] / ready[0]), read / ready[0], row["log_bytes"] / read / 1e6,
            decode / ready[0], plot.short(row["events"] / decode))
    print(words, flush=True)


def write(build, rows):
    folder = os.path.join(build, "bench")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "restart.csv"), "w", newline="") as file:
        out = csv.writer(file)
        times = ["ready_seconds", "read_seconds", "decode_seconds"]
        plain = ["events", "log_bytes", "from", "cache"]
        out.writerow(plain + [t + end for t in times for end in ("", "_least", "_most")])
        for row in rows:
            out.writerow([row[name] for name in plain] +
                         ["%.4g" % value for name in times for value in row[name]])
    series = {}
    for row in rows:
        name = "%s, %s" % (row["from"], row["cache"])
        series.setdefault(name, []).append((row["events"], row["ready_seconds"]))
        if row["from"] == "log":
            series.setdefault("decoding, " + row["cache"], []).append(
                (row["events"], row["decode_seconds"]))
    plot.lines(os.path.join(folder, "restart.svg"), "Seconds from start to ready",
               "median of %d, whiskers: least and most; decoding: inspect verify; cold: nothing is "
               "in the page cache" % RUNS, "events stored", "s", series, x_log=True, y_log=True)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build, rows, there = os.path.realpath(sys.argv[1]), [], 0
    print_head()
    with Folder() as folder:
        data = os.path.join(folder, "data")
        for mark in [m for m in (10**6, 10**7, 10**8) if m < EVENTS_MAX] + [EVENTS_MAX]:
            with Server(build, data) as server:
                got = server.load("wire", events=mark - there, connections=24, batch=4096,
                                  customers=100000, timeout=3600)
            there += got["accepted"]
            for row in measure(build, data, there):
                rows.append(row)
                print_row(row)
            write(build, rows)
    print("see %s" % os.path.join(build, "bench", "restart.csv"))


if __name__ == "__main__":
    main()
