#!/usr/bin/env python3
"""Runs the system tests: every test_*.py beside this file, on both network edges, several at a
time, each in a process of its own; then those that measure, one after the other.

usage: run.py --build DIR [--net uring|epoll] [--jobs N] [name...]

A name selects tests whose "file.function" contains it.
"""

import argparse
import contextlib
import importlib
import io
import multiprocessing
import os
import signal
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import harness  # noqa: E402


def discover(names):
    found = []
    for file in sorted(os.listdir(HERE)):
        if file.startswith("test_") and file.endswith(".py"):
            module = importlib.import_module(file[:-3])
            for name, function in vars(module).items():
                label = "%s.%s" % (file[5:-3], name[5:])
                if name.startswith("test_") and callable(function):
                    if not names or any(n in label for n in names):
                        found.append((label, function))
    return found


def edge_missing(build, net):
    """None, or why this machine has no such edge. All else that is wrong is for the tests."""
    server = harness.Server(build, net)
    try:
        server.start()
    except harness.Failure as failure:
        return str(failure) if net == "uring" and "io_uring" in str(failure) else None
    finally:
        server.cleanup()
    return None


def jobs_of(build, nets, tests):
    """Long ones first, so that none is left over at the end."""
    jobs = []
    for context in (harness.Context(build, net) for net in nets):
        for label, function in tests:
            once = getattr(function, "once", False)
            edges = nets[:1] if once else getattr(function, "nets", nets)
            if context.net in edges:
                jobs.append((not once, "%s %s" % (context.net, label), function, context))
    jobs.sort(key=lambda job: job[0])
    return [job[1:] for job in jobs]


def run_one(job):
    """Whether it is good, its name, and what is to be said of it."""
    label, function, context = job
    begin = time.monotonic()
    good = False
    with contextlib.redirect_stdout(io.StringIO()) as output:
        try:
            function(context)
            good = True
            print("ok   %s (%.1f s)" % (label, time.monotonic() - begin))
        except harness.Failure as failure:
            print("FAIL %s: %s" % (label, failure))
            frame = traceback.extract_tb(sys.exc_info()[2])
            places = ["%s:%d" % (os.path.basename(f.filename), f.lineno) for f in frame]
            print("     at " + " <- ".join(reversed(places)))
        except Exception:  # a test that breaks is a test that fails
            print("FAIL %s" % label)
            traceback.print_exc(file=sys.stdout)
    return good, label, output.getvalue()


def run_all(jobs, at_a_time):
    """How many passed, and the names of those that failed."""
    passed, failed = 0, []
    if jobs:
        with multiprocessing.Pool(at_a_time, maxtasksperchild=1) as pool:
            for good, label, said in pool.imap_unordered(run_one, jobs):
                print(said, end="", flush=True)
                passed += good
                failed += [] if good else [label]
    return passed, failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--net", action="append", choices=("uring", "epoll"))
    parser.add_argument("--jobs", type=int, default=2 * os.cpu_count())
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # servers inherit it, also under nohup(1)
    tests = discover(options.names)
    if not tests:
        print("no test has that name")
        return 2
    nets = []
    for net in options.net or ("uring", "epoll"):
        why = edge_missing(options.build, net)
        if why is None:
            nets.append(net)
        else:
            print("skip %s: %s" % (net, why))
    jobs = jobs_of(options.build, nets, tests)
    passed, failed = 0, []
    for alone in (False, True):
        lane = [job for job in jobs if getattr(job[1], "alone", False) == alone]
        counts = run_all(lane, 1 if alone else options.jobs)
        passed, failed = passed + counts[0], failed + counts[1]
    print("%d passed, %d failed%s" % (passed, len(failed),
                                      "".join("\nFAIL " + label for label in failed)))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
