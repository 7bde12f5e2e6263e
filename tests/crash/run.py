#!/usr/bin/env python3
"""Kills the server under load, again and again, and holds it to its promise: what was acknowledged
is there exactly once, what was not is there at most once, and sending everything again changes
nothing that counted.

usage: run.py --build DIR [--rounds N] [--net uring|epoll] [--seed N]

load.py says what is sent and checked. All events of all rounds stay in one data directory.
"""

import argparse
import os
import random
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "system")]

from harness import Failure, Server  # noqa: E402
from load import Load  # noqa: E402

CONNECTIONS = 8
SNAPSHOT_EVENTS = 20000  # often, so that kills hit those that are being written too


def one_round(server, number, load, chance):
    load.start(server, CONNECTIONS)
    time.sleep(chance.uniform(0.05, 0.8))
    server.kill()
    load.join()
    server.start()
    client = server.client()
    load.check(client)
    load.check_listed(client)
    sent, acknowledged, kept = load.counts()
    load.resend(client)
    load.check(client)
    print("round %d: %d requests acknowledged; %d not, of which %d were stored; %d events in all"
          % (number, acknowledged, sent - acknowledged, kept, load.events()), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--net", default="auto", choices=("auto", "uring", "epoll"))
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    chance = random.Random(options.seed)
    load = Load(chance.random())
    with tempfile.TemporaryDirectory(prefix="margin-crash.") as place:
        server = Server(options.build, options.net, dir=place,
                        arguments=["--snapshot-events", str(SNAPSHOT_EVENTS),
                                   "--limit-management", "0", "--limit-expensive", "0"])
        try:
            server.start()
            for number in range(options.rounds):
                one_round(server, number, load, chance)
            server.restart()
            load.check(server.client())
            server.verify()
            server.stop()
        except Failure as failure:
            print("FAIL with --seed %d: %s" % (options.seed, failure))
            return 1
        finally:
            server.cleanup()
    print("%d rounds, %d requests, %d events: nothing lost, nothing twice" % (
        options.rounds, len(load.requests), load.events()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
