#!/usr/bin/env python3
"""Lets the server die at every place the code names (engine/base/fault.h), as if by kill -9, and
holds it to its promise: what was acknowledged is there exactly once, what was not at most once and
whole, sending everything again changes nothing that counted, and `marginctl verify` agrees.

usage: points.py --build DIR [--long] [--jobs N] [--net uring|epoll] [--seed N] [place...]

The list of places is the binary's. Each needs a row in PLANS, and must be reached: one that is in
no row, in two, or never dies fails. --long goes to later times, to both edges, and to pairs of
crashes. A place may be given as NAME or NAME:N.
"""

import argparse
import fnmatch
import multiprocessing
import os
import random
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
from load import Load, Request  # noqa: E402

PROGRAM = "margind-faults"
DIE_SECONDS = 20
SETTINGS = ["--snapshot-events", "1000", "--limit-management", "0", "--limit-expensive", "0",
            "--dedup-memory", "32K"]  # 512 keys, then they leave it
SIZES = (1, 5, 60, 300)


class Case:
    """One place, at one of its times, on a directory of its own."""

    def __init__(self, options, place, times, seed, net):
        self.options = options
        self.place = place
        self.times = times
        self.seed = seed
        self.chance = random.Random(seed)
        self.dir = tempfile.mkdtemp(prefix="margin-point.")
        self.server = Server(options.build, net, dir=self.dir, arguments=SETTINGS)
        self.server.binary = os.path.join(options.build, PROGRAM)
        self.load = Load(seed, SIZES)

    def start_with_fault(self, times=None):
        """False: it died before it was ready."""
        plain = self.server.arguments
        self.server.arguments = plain + ["--fault", "%s:%d" % (self.place, times or self.times)]
        try:
            self.server.start()
            return True
        except Failure:
            equal(self.server.process.poll(), -signal.SIGKILL, "how it ended: %s" % "".join(
                self.server.log[-3:]))
            return False
        finally:
            self.server.arguments = plain

    def wait_for_death(self):
        try:
            code = self.server.process.wait(DIE_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise Failure("never reached") from error
        self.server.reader.join(5)
        equal(code, -signal.SIGKILL, "how it ended: %s" % "".join(self.server.log[-3:]))

    def fill(self):
        """Events, blocks that were merged, an upload, a backfill, a snapshot."""
        self.server.start()
        self.load.start(self.server, 2)
        deadline = time.monotonic() + DIE_SECONDS
        while not any(name.endswith(".snap") for name in self.snapshots()):
            ensure(time.monotonic() < deadline, "no snapshot was written")
            time.sleep(0.01)
        behind = Request("behind the snapshot", 5, False)  # so that something is to be replayed
        self.load.requests.append(behind)
        equal(behind.send(self.server.client()), (5, 0), behind.name)
        behind.acknowledged = True

    def snapshots(self):
        place = os.path.join(self.dir, "snapshots")
        return os.listdir(place) if os.path.isdir(place) else []

    def check_all(self):
        """The server that was started without a fault, to the end."""
        client = self.server.client()
        self.load.check(client)
        self.load.check_listed(client)
        self.load.resend(client)
        self.load.check(client)
        self.server.verify()
        self.server.restart(hard=self.chance.random() < 0.5)
        self.load.check(self.server.client())
        self.server.stop()

    def close(self):
        self.server.cleanup()
        shutil.rmtree(self.dir, ignore_errors=True)


# --- what leads to a place ----------------------------------------------------------------------


def under_load(case):
    """Events, uploads, backfills and control data at once, until it dies; then all again."""
    case.server.start()
    case.server.stop()
    ensure(case.start_with_fault(), "it died before it was ready")
    case.load.start(case.server, 3)
    try:
        case.wait_for_death()
    finally:
        if case.server.process.poll() is None:
            case.server.kill()
        case.load.join()
    case.server.start()
    case.check_all()


def under_small_load(case):
    """Few events at a time: blocks are merged before they make a segment."""
    case.load.sizes = (1, 2, 5)
    under_load(case)


def first_start(case):
    """Dies on an empty directory; the next start goes on from there."""
    os.rmdir(case.dir)
    ensure(not case.start_with_fault(), "never reached")
    case.server.start()
    case.load.start(case.server, 1, beside=False)
    time.sleep(0.05)
    case.server.kill()
    case.load.join()
    case.server.start()
    case.check_all()


def recovery(case):
    """Dies while it recovers, twice, then gets through."""
    case.fill()
    case.server.kill()
    case.load.join()
    if case.chance.random() < 0.5:
        shutil.rmtree(os.path.join(case.dir, "snapshots"))
    for _ in range(2):
        ensure(not case.start_with_fault(), "never reached")
    case.server.start()
    case.check_all()


def lost_keys(case):
    """Keys on disk are gone; it dies twice while it makes them anew."""
    case.fill()
    case.load.join()
    case.server.stop()
    shutil.rmtree(os.path.join(case.dir, "keys"))
    for _ in range(2):
        ensure(not case.start_with_fault(), "never reached")
    case.server.start()
    case.check_all()


def half_done(case):
    """Dies between the halves of an upload, then twice while it finishes that."""
    case.server.start()
    case.server.stop()
    place, case.place = case.place, "upload.tables-changed"
    ensure(case.start_with_fault(1), "it died before it was ready")
    case.load.start(case.server, 1)
    try:
        case.wait_for_death()
    finally:
        if case.server.process.poll() is None:
            case.server.kill()
        case.load.join()
    case.place = place
    for _ in range(2):
        ensure(not case.start_with_fault(), "never reached")
    case.server.start()
    case.check_all()


def orderly_end(case):
    """Dies after SIGTERM."""
    ensure(case.start_with_fault(), "it died before it was ready")
    case.load.start(case.server, 2)
    time.sleep(0.1)
    case.server.process.send_signal(signal.SIGTERM)
    try:
        case.wait_for_death()
    finally:
        if case.server.process.poll() is None:
            case.server.kill()
        case.load.join()
    case.server.start()
    case.check_all()


def full_map(case):
    """The log has no room for a group; it dies while it takes that back."""
    plain = case.server.arguments
    case.server.arguments = plain + ["--log-map-bytes", "1M"]
    ensure(case.start_with_fault(), "it died before it was ready")
    client = case.server.client()
    try:
        for number in range(200):
            events = [{"eventName": "big", "customerReferenceId": "big-%d" % number,
                       "featureKey": "f", "costAmount": 1, "idempotencyKey": os.urandom(60).hex()}
                      for _ in range(200)]
            client.ingest(events)
    except (OSError, EOFError, Failure):
        pass
    case.wait_for_death()
    case.server.arguments = plain
    case.server.start()
    rows = case.server.client().good("/api/events/by-customer?days=all")
    equal(sorted(row["event_count"] for row in rows), [200] * number, "what was acknowledged")
    got = case.server.client().ingest(events)
    equal((got["accepted"], got["duplicates"]), (200, 0), "the refused ones are new")
    case.server.verify()


def of_age(days, count):
    """Events of so many days ago, each of a customer of its own, some with traces and agents."""
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days * 86400))
    return [{"eventName": "aged", "customerReferenceId": "aged-%d-%d" % (days, n),
             "featureKey": "f", "costAmount": 1, "timestamp": when, "agentId": "a-%d" % (n % 3),
             "traceId": "t-%d" % (n % 7), "idempotencyKey": "aged-%d-%d" % (days, n)}
            for n in range(count)]


def growing_old(case):
    """Dies while events that are too old leave; the next start goes on without them."""
    case.server.start()
    client = case.server.client()
    for days in (400, 0, 90, 3, 40):
        equal(client.ingest(of_age(days, 60))["accepted"], 60, "accepted")
    case.server.restart(hard=case.chance.random() < 0.5)
    case.server.stop()
    case.server.arguments = case.server.arguments + ["--retention-days", "30"]
    if case.start_with_fault():
        case.wait_for_death()
    case.server.start()
    client = case.server.client()
    deadline = time.monotonic() + DIE_SECONDS
    while (len(client.good("/api/events/by-customer?days=all")) != 120 or
           b"\nmargind_expiring 0" not in client.get("/metrics").body):
        ensure(time.monotonic() < deadline, "old events do not leave")
        time.sleep(0.05)
    case.server.verify()
    equal(client.ingest(of_age(40, 60))["rejected"], 60, "too old")
    equal(client.ingest(of_age(3, 60))["duplicates"], 60, "known")
    again = [dict(event, timestamp=young["timestamp"])
             for event, young in zip(of_age(90, 60), of_age(0, 60))]
    equal(client.ingest(again)["accepted"], 60, "free keys")
    case.server.restart(hard=True)
    case.server.verify()
    case.server.stop()


# Place, how to get there, the times at which to die, and the further ones of --long. A place
# of several steps that look alike (the commits of a first start) is walked until it is not reached.
ALL = "all"
PLANS = [
    ("db.[!t]*", first_start, ALL, ()),
    ("db.tables-*", first_start, ALL, ()),
    ("db.trim-listed", under_load, (1,), (2,)),
    ("start.key-file-*", first_start, ALL, ()),
    ("control.meta-*", first_start, ALL, ()),
    ("seal.put", first_start, ALL, ()),
    ("control.put", first_start, ALL, ()),
    ("control.committed", first_start, ALL, ()),
    ("control.put", under_load, (2,), (3, 8)),
    ("control.committed", under_load, (3,), (2, 9)),
    ("start.open", recovery, (1,), ()),
    ("start.recovered", recovery, (1,), ()),
    ("recover.*", recovery, (1,), ()),
    ("front.*", under_load, (1, 17), (2, 5, 60)),
    ("commit.undone", full_map, (1,), ()),
    ("commit.[!u]*", under_load, (4,), (1, 2, 23, 50)),
    ("disk.*", under_load, (3,), (1, 2, 20, 60)),
    ("store.*", under_load, (5,), (1, 2, 19, 40)),
    ("log.put", under_load, (2, 11), (1, 3, 40)),
    ("log.committed", under_load, (1, 12), (2, 3, 40)),
    ("log.amendment-*", under_load, (1,), (2, 5)),
    ("log.segment-*", under_load, (1,), (2, 4)),
    ("merge.built", under_small_load, (1,), (2, 4)),
    ("merge.[!b]*", under_load, (1,), (2, 4)),
    ("keys.remade", lost_keys, (1,), ()),
    ("keys.[!r]*", under_load, (1,), (2, 5)),
    ("keys.renamed", under_load, (1, 2), (3, 4)),
    ("keys.removed", under_load, (1,), (2, 3)),
    ("amend.*", under_load, (1,), (2, 5, 9)),
    ("expire.*", growing_old, (1,), ()),
    ("snapshot.*", under_load, (1,), (2,)),
    ("upload.*-changed", under_load, (1, 3), (2, 5)),
    ("upload.*finished", half_done, (1,), ()),
    ("stop.*", orderly_end, (1,), ()),
]
TIMES_MAX = 64


def run_times(options, place, plan, times, seed, net):
    """True: it died there and all is well. False: not reached, where that is how one ends."""
    case = Case(options, place, times, seed, net)
    try:
        plan(case)
        return True
    finally:
        case.close()


def run_all_times(options, place, seed, net):
    """A first start's steps, one after the other."""
    for times in range(1, TIMES_MAX):
        try:
            run_times(options, place, first_start, times, seed, net)
        except Failure as failure:
            if str(failure) == "never reached" and times > 1:
                return times - 1
            raise
    raise Failure("reached %d times in a first start" % TIMES_MAX)


def run_job(job):
    options, place, plan, times, seed, net = job
    label = "%s:%s %s" % (place, times, plan.__name__)
    begin = time.monotonic()
    try:
        count = run_all_times(options, place, seed, net) if times == ALL else 1
        if times != ALL:
            run_times(options, place, plan, times, seed, net)
    except Failure as failure:
        return 0, "FAIL %s (--seed %d): %s" % (label, options.seed, failure)
    except Exception:  # a test that breaks is a test that fails
        return 0, "FAIL %s: %s" % (label, traceback.format_exc())
    return count, "ok   %s (%d, %.1f s)" % (label, count, time.monotonic() - begin)


def jobs_of(options, places):
    """What to run; and what is wrong with the table."""
    chance = random.Random(options.seed)
    jobs, wrong = [], []
    nets = ("uring", "epoll") if options.long else (options.net,)
    chosen = dict(name.partition(":")[::2] for name in options.places)
    for place in places:
        rows = [row for row in PLANS if fnmatch.fnmatchcase(place, row[0])]
        if not rows:
            wrong.append("FAIL %s: no row of PLANS leads there" % place)
        for _, plan, times, later in rows if not chosen or place in chosen else []:
            times = (ALL,) if times == ALL else times + (later if options.long else ())
            if chosen.get(place):
                times = (int(chosen[place]),)
            jobs += [(options, place, plan, one, chance.randrange(1 << 30), net)
                     for one in times for net in nets]
    for pattern, _, _, _ in PLANS:
        if not fnmatch.filter(places, pattern):
            wrong.append("FAIL %s: a row of PLANS that leads nowhere" % pattern)
    return jobs, wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--net", default="auto", choices=("auto", "uring", "epoll"))
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("places", nargs="*")
    options = parser.parse_args()
    listed = subprocess.run([os.path.join(options.build, PROGRAM), "--fault", "list"],
                            capture_output=True, text=True, check=True)
    places = sorted(listed.stdout.split())
    equal(len(places), len(set(places)), "places with a name of their own")
    product = subprocess.run([os.path.join(options.build, "margind"), "--fault", "list"],
                             capture_output=True, text=True, check=False)
    equal((product.returncode, product.stdout), (2, ""), "the product knows no places")
    jobs, wrong = jobs_of(options, places)
    for line in wrong:
        print(line)
    with Server(options.build, options.net):
        pass  # its description is read once, for all
    done, failed = 0, len(wrong)
    with multiprocessing.Pool(options.jobs) as pool:
        for count, line in pool.imap_unordered(run_job, jobs):
            done += count
            failed += count == 0
            if count == 0 or options.long or options.places:
                print(line, flush=True)
    print("%d places, %d deaths: %s" % (len(places), done,
                                        "nothing lost, nothing twice" if failed == 0 else
                                        "%d FAILED" % failed))
    return 0 if failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
