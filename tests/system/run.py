#!/usr/bin/env python3
"""Runs the system tests: every test_*.py beside this file, on both network edges.

usage: run.py --build DIR [--net uring|epoll] [name...]

A name selects tests whose "file.function" contains it.
"""

import argparse
import importlib
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


def run_one(label, function, context):
    begin = time.monotonic()
    try:
        function(context)
    except harness.Failure as failure:
        print("FAIL %s: %s" % (label, failure))
        frame = traceback.extract_tb(sys.exc_info()[2])
        places = ["%s:%d" % (os.path.basename(f.filename), f.lineno) for f in frame]
        print("     at " + " <- ".join(reversed(places)))
        return False
    except Exception:  # a test that breaks is a test that fails
        print("FAIL %s" % label)
        traceback.print_exc(file=sys.stdout)
        return False
    print("ok   %s (%.1f s)" % (label, time.monotonic() - begin), flush=True)
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--net", action="append", choices=("uring", "epoll"))
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # servers inherit it, also under nohup(1)
    tests = discover(options.names)
    if not tests:
        print("no test has that name")
        return 2
    passed = failed = 0
    done = set()
    for net in options.net or ("uring", "epoll"):
        why = edge_missing(options.build, net)
        if why is not None:
            print("skip %s: %s" % (net, why))
            continue
        context = harness.Context(options.build, net)
        for label, function in tests:
            if getattr(function, "once", False) and label in done:
                continue
            done.add(label)
            if net in getattr(function, "nets", (net,)):
                good = run_one("%s %s" % (net, label), function, context)
                passed, failed = passed + good, failed + (not good)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
