#!/usr/bin/env python3
"""Where the nanoseconds go: processor time an event, thread by thread, in each way of sending.

usage: bench/where.py BUILD [MODE...]     modes: http wire single

Time of the processor, not of the clock: other work on the machine hardly changes it. What the
kernel does for a thread (receiving, writing, syncing) is `system`. Each mode runs for WHERE_SECONDS
(4) on a fresh server that is warm. If perf is there and WHERE_PERF is a number, so many functions
with the largest share of the server's time follow.

BENCH_DIR   where the data directory goes: a real disk, not tmpfs (/var/tmp)
"""

import collections
import os
import re
import resource
import shutil
import subprocess
import sys
import time

from server import Folder, Server, number

MODES = {"http": {"connections": 64}, "wire": {"connections": 24, "batch": 4096},
         "single": {"connections": 256}}
TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")


def times(pid):
    """Thread's name -> (user, system) nanoseconds; threads of one name are added up."""
    found = collections.Counter()
    for task in os.listdir("/proc/%d/task" % pid):
        try:
            with open("/proc/%d/task/%s/stat" % (pid, task)) as file:
                name, rest = re.fullmatch(r"\d+ \((.*)\) (.*)", file.read().strip()).groups()
        except OSError:
            continue
        words = rest.split()
        found[name, "user"] += int(words[11]) * TICK_NS
        found[name, "system"] += int(words[12]) * TICK_NS
    return found


def children_ns():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (usage.ru_utime + usage.ru_stime) * 1e9


def perf(server, folder, seconds, count):
    """Starts recording; what it returns gives the lines."""
    path = os.path.join(folder, "perf.data")
    process = subprocess.Popen(["perf", "record", "-q", "-F", "999", "-o", path, "-p",
                                str(server.process.pid), "--", "sleep", str(seconds)],
                               stderr=subprocess.DEVNULL)

    def lines():
        process.wait()
        done = subprocess.run(["perf", "report", "-i", path, "--stdio", "--no-children", "-g",
                               "none", "-F", "overhead,comm,symbol"], capture_output=True,
                              text=True)
        return [line.rstrip() for line in done.stdout.splitlines()
                if line.strip() and not line.startswith("#")][:count]
    return lines


def measure(build, mode, seconds, symbols):
    with Folder() as folder, Server(build, os.path.join(folder, "data")) as server:
        server.load("wire", events=500000)
        before, client = times(server.process.pid), children_ns()
        report = perf(server, folder, seconds, symbols) if symbols else None
        begin = time.monotonic()
        got = server.load(mode, seconds=seconds, **MODES[mode])
        took = time.monotonic() - begin
        client = children_ns() - client
        spent = times(server.process.pid)
        spent.subtract(before)
        events = got["sent"]
        print("%s: %.2f M events/s in %.1f s" % (mode, got["events_per_second"] / 1e6, took))
        print("  %-16s %10s %10s   ns an event" % ("thread", "user", "system"))
        for name in sorted({name for name, _ in spent},
                           key=lambda n: -spent[n, "user"] - spent[n, "system"]):
            user, system = spent[name, "user"] / events, spent[name, "system"] / events
            if user + system >= 0.5:
                print("  %-16s %10.1f %10.1f" % (name, user, system))
        if not symbols:  # perf is a child, too
            print("  %-16s %10.1f   (user and system)" % ("margin-load", client / events))
        for line in report() if report else []:
            print("  " + line)


def main():
    if len(sys.argv) < 2 or not set(sys.argv[2:]) <= set(MODES):
        sys.exit(__doc__)
    symbols = number("WHERE_PERF", 0) if shutil.which("perf") else 0
    for mode in sys.argv[2:] or MODES:
        measure(os.path.realpath(sys.argv[1]), mode, number("WHERE_SECONDS", 4), symbols)


if __name__ == "__main__":
    main()
