#!/usr/bin/env python3
"""Kills the server under load, again and again, and holds it to its promise: what was acknowledged
is there exactly once, what was not is there at most once, and sending everything again changes
nothing that counted.

usage: run.py --build DIR [--rounds N] [--net uring|epoll] [--seed N]

Every request carries a customer of its own, so the figures by customer say how much of each request
survived. All events of all rounds stay in one data directory.
"""

import argparse
import http.client
import json
import os
import random
import sys
import tempfile
import threading
import time
from decimal import Decimal

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

from harness import Failure, Server, equal, ensure  # noqa: E402

CONNECTIONS = 8
SNAPSHOT_EVENTS = 20000


class Request:
    """One ingest request: `count` events of a customer of its own."""

    def __init__(self, name, count, single):
        self.name = name
        self.count = count
        self.single = single  # goes to the single-event endpoint
        self.acknowledged = False
        self.stored = 0

    def keys(self):
        return ["%s-%d" % (self.name, n) for n in range(self.count)]

    def body(self):
        if self.single:
            return {"eventName": "crash", "customerId": self.name, "featureKey": "f",
                    "costAmount": 0.000000000001, "revenueAmount": 2,
                    "eventIdempotencyKey": self.keys()[0]}
        return {"events": [{"eventName": "crash", "customerReferenceId": self.name,
                            "featureKey": "f", "costAmount": 0.000000000001, "revenueAmount": 2,
                            "idempotencyKey": key} for key in self.keys()]}

    def send(self, client):
        """(accepted, duplicates)"""
        path = "/api/v1/client/events" if self.single else "/api/events/ingest"
        reply = client.send("POST", path, json.dumps(self.body()))
        if self.single:
            ensure(reply.status in (201, 409), "status %d" % reply.status)
            return (1, 0) if reply.status == 201 else (0, 1)
        equal(reply.status, 200, "status")
        return reply.json["accepted"], reply.json["duplicates"]


def load(server, requests, lock, stop, label, seed):
    """One connection's work until the server is gone."""
    chance = random.Random(seed)
    number = 0
    try:
        client = server.client()
        while not stop.is_set():
            single = chance.random() < 0.3
            count = 1 if single else chance.choice((1, 5, 60, 400, 1000))
            request = Request("%s-%d" % (label, number), count, single)
            number += 1
            with lock:
                requests.append(request)
            accepted, duplicates = request.send(client)
            if (accepted, duplicates) != (count, 0):
                raise Failure("%s: accepted %d of %d" % (request.name, accepted, count))
            request.acknowledged = True
    except (OSError, EOFError, ValueError, http.client.HTTPException):
        return  # the server was killed in the middle of this request
    except Failure as failure:
        print("FAIL", failure)
        with lock:
            requests.append(None)


def counts(client):
    return {row["customer_id"]: row for row in client.good("/api/events/by-customer?days=all")}


def check_survivors(client, requests):
    rows = counts(client)
    known = {request.name for request in requests}
    equal([name for name in rows if name not in known], [], "customers nobody sent")
    for request in requests:
        row = rows.get(request.name, {"event_count": 0, "total_cost": 0, "total_revenue": 0})
        found = row["event_count"]
        if request.acknowledged:
            equal(found, request.count, "events of the acknowledged %s" % request.name)
        ensure(found <= request.count, "%s counts %d of %d" % (request.name, found, request.count))
        equal(Decimal(row["total_cost"]), Decimal(found).scaleb(-12), "cost of " + request.name)
        equal(Decimal(row["total_revenue"]), Decimal(2 * found), "revenue of " + request.name)
        request.stored = found


def check_listed(client, requests, chance):
    """The log holds the very keys that were sent, not just as many."""
    for request in chance.sample(requests, min(12, len(requests))):
        listed, offset = [], 0
        while offset == 0 or len(listed) == offset:
            page = client.good("/api/events?customer_id=%s&limit=200&offset=%d"
                               % (request.name, offset))
            listed += [event["idempotency_key"] for event in page["events"]]
            offset += 200
        equal(len(listed), request.stored, "listed events of " + request.name)
        ensure(len(set(listed)) == len(listed) and set(listed) <= set(request.keys()),
               "keys of " + request.name)


def check_resent(client, requests):
    for request in requests:
        equal(request.send(client), (request.count - request.stored, request.stored),
              "sending %s again" % request.name)
        request.acknowledged, request.stored = True, request.count


def one_round(server, number, everything, chance):
    requests, lock, stop = [], threading.Lock(), threading.Event()
    threads = [threading.Thread(target=load, args=(server, requests, lock, stop,
                                                   "r%d-c%d" % (number, n), chance.random()))
               for n in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    time.sleep(chance.uniform(0.05, 0.8))
    server.kill()
    stop.set()
    for thread in threads:
        thread.join()
    ensure(None not in requests, "an answer was wrong")
    everything += requests
    server.start()
    client = server.client()
    check_survivors(client, everything)
    check_listed(client, requests, chance)
    acknowledged = sum(r.acknowledged for r in requests)
    silent = [r for r in requests if not r.acknowledged]
    kept = sum(r.stored > 0 for r in silent)
    check_resent(client, requests)
    check_survivors(client, everything)
    print("round %d: %d requests acknowledged; %d not, of which %d were stored; %d events in all"
          % (number, acknowledged, len(silent), kept, sum(r.count for r in everything)), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--net", default="auto", choices=("auto", "uring", "epoll"))
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    chance = random.Random(options.seed)
    everything = []
    with tempfile.TemporaryDirectory(prefix="margin-crash.") as place:
        # Snapshots often, so that kills hit those that are being written too.
        server = Server(options.build, options.net, dir=place,
                        arguments=["--snapshot-events", str(SNAPSHOT_EVENTS)])
        try:
            server.start()
            for number in range(options.rounds):
                one_round(server, number, everything, chance)
            server.restart()
            check_survivors(server.client(), everything)
            server.stop()
        except Failure as failure:
            print("FAIL with --seed %d: %s" % (options.seed, failure))
            return 1
        finally:
            server.cleanup()
    print("%d rounds, %d requests, %d events: nothing lost, nothing twice" % (
        options.rounds, len(everything), sum(r.count for r in everything)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
