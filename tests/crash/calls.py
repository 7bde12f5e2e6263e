#!/usr/bin/env python3
"""Lets one system call on the data directory fail, each in its turn (tests/crash/failing.c), and
holds the server to its promises: it says 503 and goes on, or it stops with a line that says why; it
never acknowledges what is not there, and the next start has exact figures.

usage: calls.py --build DIR [--long] [--jobs N] [--net uring|epoll] [--seed N] [case...]

Dry runs list the calls there are, of a first start and the work behind it, and of a later start. A
case is WHEN CALL FILE N WAY, say "later pwrite log/data.mdb 3 EIO". Of each call and file some are
tried, in each way; more of them with --long.
"""

import argparse
import collections
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "system")]

from harness import Failure, Server, ensure, equal  # noqa: E402
from load import GONE, Load, Refused, Request  # noqa: E402

END_SECONDS = 20
SETTINGS = ["--snapshot-events", "1000", "--limit-management", "0", "--limit-expensive", "0",
            "--dedup-memory", "32K"]
SINGLE_EVENTS = 8  # commits of their own: enough that margind-faults merges their blocks
SNAPSHOT_SECONDS = 0.5
TRIED_MAX = 5  # of each call on each file, each way, with --long

WRITING = ("EIO", "ENOSPC", "short", "torn", "die", "after")
OTHER = ("EIO", "ENOSPC", "die", "after")
WAYS = {"write": WRITING, "pwrite": WRITING, "writev": WRITING, "pread": ("EIO", "short")}
STOPPED = re.compile(r"level=error event=(failed|write_failed) reason=\w+ (what|action)=\"..")


class Case:
    """A server of its own whose calls are counted, and one of which fails."""

    def __init__(self, options, seed, when, call=None):
        self.dir = tempfile.mkdtemp(prefix="margin-call.")
        self.list = self.dir + ".list"
        # What is preloaded asks for what the sandbox forbids: names of open files, a list of calls.
        self.server = Server(options.build, options.net, dir=os.path.join(self.dir, "data"),
                             arguments=list(SETTINGS) + ["--sandbox", "off"])
        self.server.binary = os.path.join(options.build, "margind-faults")
        self.fault = {"LD_PRELOAD": os.path.abspath(os.path.join(options.build, "failing.so")),
                      "FAIL_DIR": self.server.dir}
        if call is None:
            self.fault["FAIL_LIST"] = self.list
        else:
            self.fault.update(zip(("FAIL_CALL", "FAIL_FILE", "FAIL_AT", "FAIL_WITH"), call))
            self.fault["FAIL_TIMES"] = "1"
        self.way = None if call is None else call[3]
        self.load = Load(seed)
        self.refused = 0
        self.last_refusal = "none"
        self.later = when == "later"

    def close(self):
        self.server.cleanup()
        shutil.rmtree(self.dir, ignore_errors=True)
        if os.path.exists(self.list):
            os.remove(self.list)

    def start(self, fault):
        """False: it refused to start, and said why."""
        os.environ.update(self.fault if fault else {})
        try:
            self.server.start()
            return True
        except Failure:
            self.check_end()
            return False
        finally:
            for name in self.fault:
                os.environ.pop(name, None)

    def check_end(self):
        """It ended: because it was told to die, or with a reason."""
        self.server.reader.join(5)
        code = self.server.process.wait(END_SECONDS)
        tail = "".join(self.server.log[-5:])
        if self.way in ("torn", "die", "after"):
            equal(code, -signal.SIGKILL, "how it ended: " + tail)
        else:
            equal(code, 1, "exit code: " + tail)
            ensure(STOPPED.search(tail), "no reason: " + tail)

    def has_ended(self):
        """After a connection broke, or two refusals: then it must be about to end."""
        try:
            self.server.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise Failure("it gives no answer and goes on (last refusal: %s): %s" % (
                self.last_refusal, "".join(self.server.log[-3:]))) from error
        self.check_end()

    def steps(self):
        """What is done, one after the other."""
        for number in range(SINGLE_EVENTS):
            yield Request("single-%d" % number, 1, True)
        yield Request("batch", 60, False)
        for one in self.load.beside * 2:
            yield one
        yield Request("large", 1000, False)  # a snapshot is due
        yield None
        yield Request("last", 5, False)

    def wait_for_snapshot(self):
        deadline = time.monotonic() + SNAPSHOT_SECONDS
        while time.monotonic() < deadline and not any(
                "event=snapshot" in line for line in self.server.log):
            if self.server.process.poll() is not None:
                raise EOFError
            time.sleep(0.005)

    def attempt(self, client, step):
        """False: it said that it cannot."""
        try:
            if step is None:
                self.wait_for_snapshot()
            elif isinstance(step, Request):
                if step not in self.load.requests:
                    self.load.requests.append(step)
                equal(step.send(client), (step.count, 0), "answer to " + step.name)
                step.acknowledged = True
            else:
                step.step(client)
            return True
        except Refused as refused:
            self.refused += 1
            self.last_refusal = str(refused)
            return False

    def run(self):
        """Everything while the call fails; False: the server has ended."""
        try:
            client = self.server.client()
            for step in self.steps():
                if not self.attempt(client, step) and not self.attempt(client, step):
                    raise EOFError  # it must be about to end
            self.load.check(client)
            return True
        except GONE:
            self.has_ended()
            return False
        except Failure as failure:
            # A write behind the last answer (when keys were used) has failed: reads say 500, and it
            # must be about to end.
            if "500 found" not in str(failure):
                raise
            self.has_ended()
            return False

    def finish(self):
        """A start without faults has exact figures."""
        self.start(fault=False)
        client = self.server.client()
        self.load.check(client)
        self.load.resend(client)
        self.load.check(client)
        self.server.verify()
        self.server.stop()


def run_whole(case):
    """What became of it."""
    if case.later:
        case.start(fault=False)
        first = Request("before", 5, False)
        case.load.requests.append(first)
        case.attempt(case.server.client(), first)
        case.server.kill()
    if not case.start(fault=True):
        became = "did not start"
    elif not case.run():
        became = "stopped"
    else:
        became = "refused" if case.refused > 0 else "unharmed"
        case.server.process.send_signal(signal.SIGTERM)
        code = case.server.process.wait(END_SECONDS)
        if code != 0:
            became = "ended"
            case.check_end()
    case.finish()
    return became


def run_job(job):
    options, when, call, seed = job
    label = " ".join((when,) + call)
    case = Case(options, seed, when, call)
    try:
        return label, run_whole(case), None
    except Failure as failure:
        return label, None, "FAIL %s: %s" % (label, failure)
    except Exception:  # a test that breaks is a test that fails
        return label, None, "FAIL %s: %s" % (label, traceback.format_exc())
    finally:
        case.close()


def list_calls(options, when):
    """How many calls there are of each kind on each file."""
    case = Case(options, 1, when)
    try:
        ensure(run_whole(case) == "unharmed", "the run without a fault")
        with open(case.list, encoding="ascii") as file:
            found = collections.Counter(tuple(line.split()) for line in file)
        ensure(len(found) > 20, "only %d kinds of calls were seen" % len(found))
        return found
    finally:
        case.close()


def jobs_of(options, counts):
    chance = random.Random(options.seed)
    jobs = []
    for when, calls in counts.items():
        for (call, file), count in sorted(calls.items()):
            for way in WAYS.get(call, OTHER):
                tried = min(count, TRIED_MAX) if options.long else 1
                some = chance.sample(range(1, count + 1), tried)
                jobs += [(options, when, (call, file, str(at), way), chance.randrange(1 << 30))
                         for at in some]
    if not options.long:
        chance.shuffle(jobs)
        jobs = jobs[:options.cases]
    return jobs


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--cases", type=int, default=70)
    parser.add_argument("--jobs", type=int, default=2 * os.cpu_count())
    parser.add_argument("--net", default="auto", choices=("auto", "uring", "epoll"))
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    with Server(options.build, options.net):
        pass  # its description is read once, for all
    counts = {when: list_calls(options, when) for when in ("first", "later")}
    named = [name.split() for name in options.names]
    jobs = [(options, words[0], tuple(words[1:]), 1) for words in named] or jobs_of(options, counts)
    became = collections.Counter()
    with multiprocessing.Pool(options.jobs) as pool:
        for label, what, failure in pool.imap_unordered(run_job, jobs):
            became[what or "FAILED"] += 1
            if failure or options.long or options.names:
                print(failure or "ok   %s: %s" % (label, what), flush=True)
    print("%d calls of %d kinds, %d cases (%s)%s" % (
        sum(sum(calls.values()) for calls in counts.values()),
        sum(len(calls) for calls in counts.values()), len(jobs),
        ", ".join("%d %s" % (count, what) for what, count in became.most_common()),
        ": --seed %d" % options.seed if became["FAILED"] else ""))
    return 1 if became["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
