"""What is sent to a server that will be killed, and what must be true of it afterwards.

Everything has a name of its own in the figures, so that they say how much of it survived: what was
acknowledged is there exactly once, what was not is there at most once and whole steps of it only.
"""

import http.client
import json
import random
import threading
from decimal import Decimal

from harness import Failure, ensure, equal

GONE = (OSError, EOFError, ValueError, http.client.HTTPException)
SIZES = (1, 5, 60, 400, 1000)


class Refused(Failure):
    """The server says that it cannot now; nothing of it may have happened."""


def done(reply, what, *good):
    """The answer, if it is one of the good ones."""
    if reply.status in (500, 503):
        if reply.status == 503:
            ensure(int(reply.headers.get("Retry-After", "0")) >= 1, what + ": Retry-After")
        raise Refused("%s: %d %r" % (what, reply.status, reply.body[:200]))
    ensure(reply.status in good, "%s: %d %r" % (what, reply.status, reply.body[:200]))
    return reply


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

    def post(self, client):
        path = "/api/v1/client/events" if self.single else "/api/events/ingest"
        return client.send("POST", path, json.dumps(self.body()))

    def read(self, reply):
        """(accepted, duplicates)"""
        if self.single:
            done(reply, self.name, 201, 409)
            return (1, 0) if reply.status == 201 else (0, 1)
        done(reply, self.name, 200)
        return reply.json["accepted"], reply.json["duplicates"]

    def send(self, client):
        return self.read(self.post(client))

    def check(self, rows):
        row = rows.get(self.name, {"event_count": 0, "total_cost": 0, "total_revenue": 0})
        found = row["event_count"]
        if self.acknowledged:
            equal(found, self.count, "events of the acknowledged %s" % self.name)
        ensure(found <= self.count, "%s counts %d of %d" % (self.name, found, self.count))
        equal(Decimal(row["total_cost"]), Decimal(found).scaleb(-12), "cost of " + self.name)
        equal(Decimal(row["total_revenue"]), Decimal(2 * found), "revenue of " + self.name)
        self.stored = found

    def resend(self, client):
        equal(self.send(client), (self.count - self.stored, self.stored),
              "sending %s again" % self.name)
        self.acknowledged, self.stored = True, self.count


class Upload:
    """A cost that takes the place of the one before it: one of the two is there, whole."""

    CUSTOMER = "uploaded"

    def __init__(self):
        self.stands = None  # acknowledged, or seen after a crash
        self.tried = 0
        self.open = []  # sent since then: what became of them is not known

    def step(self, client):
        self.tried += 1
        self.open.append(self.tried)
        done(client.send("POST", "/api/data/upload/costs", {"records": [
            {"month": "2026-01", "cost": self.tried, "customer_id": self.CUSTOMER}] * 3}),
             "an upload", 200)
        self.stands, self.open = self.tried, []

    def check(self, client, rows):
        row = rows.get(self.CUSTOMER)
        found = None if row is None or row["event_count"] == 0 else row["total_cost"] // 3
        ensure(found in [self.stands] + self.open, "upload %s counts after %s and %s"
               % (found, self.stands, self.open))
        ensure(found is None or (row["event_count"], row["total_cost"]) == (3, 3 * found),
               "part of an upload: %s" % row)
        self.stands, self.open = found, []

    def resend(self, client):
        self.step(client)


class Sales:
    """What is sold, in the control tables, and an event of each subscription, in the log: both of
    one upload, whichever it is."""

    CUSTOMERS = ("seller-0", "seller-1")

    def __init__(self):
        self.stands = None
        self.tried = 0
        self.open = []

    def step(self, client):
        self.tried += 1
        self.open.append(self.tried)
        done(client.send("POST", "/api/data/upload/revenue", {
            "plans": [{"plan_id": "p", "price_amount": self.tried}],
            "subscriptions": [{"customer_id": name, "plan_id": "p"} for name in self.CUSTOMERS]}),
             "an upload of revenue", 200)
        self.stands, self.open = self.tried, []

    def check(self, client, _rows):
        plans = client.good("/api/plans")
        found = plans[0]["price_amount"] if plans else None
        ensure(found in [self.stands] + self.open, "plans of upload %s after %s and %s"
               % (found, self.stands, self.open))
        earned = {row["customer_id"]: row["event_revenue"] for row in
                  client.good("/api/analytics/customer-pnl?days=all")["customers"]
                  if row["customer_id"] in self.CUSTOMERS}
        equal(earned, {name: found for name in self.CUSTOMERS} if plans else {}, "its events")
        self.stands, self.open = found, []

    def resend(self, client):
        self.step(client)


class Backfill:
    """Events that earn nothing until their feature has a price and they are looked at again."""

    PRICE = 3

    def __init__(self):
        self.events = {}  # name: "sent", "stored", "priced"

    def ingest(self, client, name):
        got = done(client.send("POST", "/api/events/ingest", {"events": [
            {"eventName": "crash", "customerReferenceId": name,
             "featureKey": "feature of " + name, "idempotencyKey": name}]}), name, 200).json
        ensure(got["accepted"] + got["duplicates"] == 1, "an event that earns later: %s" % got)

    def step(self, client):
        name = "earner-%d" % len(self.events)
        self.events[name] = "sent"
        self.ingest(client, name)
        self.events[name] = "stored"
        done(client.send("POST", "/api/feature-pricing",
                         {"feature_key": "feature of " + name,
                          "revenue_per_unit": self.PRICE}), "a price", 200)
        done(client.send("POST", "/api/backfill/revenue"), "backfill", 200)
        self.events[name] = "priced"

    def check(self, _client, rows):
        for name, state in self.events.items():
            row = rows.get(name, {"event_count": 0, "total_revenue": 0})
            least = 0 if state == "sent" else 1
            ensure(least <= row["event_count"] <= 1, "%s (%s): %s" % (name, state, row))
            allowed = (self.PRICE,) if state == "priced" else (0, self.PRICE)
            ensure(row["total_revenue"] in allowed, "%s (%s) earns %s"
                   % (name, state, row["total_revenue"]))

    def resend(self, client):
        for name, state in self.events.items():
            if state == "sent":
                self.ingest(client, name)
                self.events[name] = "stored"


class Definitions:
    """Features that are described: control data, beside the log."""

    def __init__(self):
        self.made = []
        self.tried = []

    def step(self, client):
        key = "described-%d" % len(self.tried)
        self.tried.append(key)
        done(client.send("POST", "/api/feature-definitions",
                         {"feature_key": key, "name": "Feature " + key}), "define", 200, 201)
        self.made.append(key)

    def check(self, client, _rows):
        found = [row["name"] for row in client.good("/api/feature-definitions")["definitions"]]
        for key in self.tried:
            count = found.count("Feature " + key)
            ensure(count == 1 or (count == 0 and key not in self.made),
                   "%s is listed %d times" % (key, count))

    def resend(self, client):
        self.step(client)


def figures(client):
    return {row["customer_id"]: row for row in client.good("/api/events/by-customer?days=all")}


class Load:
    """Connections that send until the server is gone or stop() is called, and the oracle."""

    def __init__(self, seed, sizes=SIZES):
        self.chance = random.Random(seed)
        self.sizes = sizes
        self.lock = threading.Lock()
        self.requests = []
        self.recent = []  # of the last start()
        self.beside = [Upload(), Backfill(), Definitions(), Sales()]
        self.failures = []
        self.threads = []
        self.starts = 0

    def start(self, server, connections, beside=True):
        """`beside`: also what is not ingest."""
        self.stopping = threading.Event()
        self.recent = []
        self.starts += 1
        labels = ["%d-%d" % (self.starts, n) for n in range(connections)]
        work = [(self.ingest, label) for label in labels]
        work += [(self.step, one) for one in self.beside] if beside else []
        self.threads = [threading.Thread(target=self.run, args=(server, function, argument))
                        for function, argument in work]
        for thread in self.threads:
            thread.start()

    def run(self, server, function, argument):
        try:
            client = server.client()
            function(client, argument)
        except GONE:
            return  # the server was killed in the middle of it
        except Failure as failure:
            if server.process.poll() is None:
                self.failures.append(failure)

    def ingest(self, client, label):
        chance = random.Random("%s %s" % (label, self.chance.random()))
        number = 0
        while not self.stopping.is_set():
            single = chance.random() < 0.3
            request = Request("%s-%d" % (label, number), 1 if single else chance.choice(self.sizes),
                              single)
            number += 1
            with self.lock:
                self.requests.append(request)
                self.recent.append(request)
            got = request.send(client)
            equal(got, (request.count, 0), "answer to " + request.name)
            request.acknowledged = True

    def step(self, client, one):
        while not self.stopping.wait(0.01):
            one.step(client)

    def join(self):
        """After the server has gone, or to end it all in order."""
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        if self.failures:
            raise self.failures[0]

    def check(self, client):
        rows = figures(client)
        known = {request.name for request in self.requests} | set(self.beside[1].events)
        known.add(Upload.CUSTOMER)
        equal([name for name in rows if name not in known], [], "customers nobody sent")
        for request in self.requests:
            request.check(rows)
        for one in self.beside:
            one.check(client, rows)

    def check_listed(self, client):
        """The log holds the very keys that were sent, not just as many."""
        for request in self.chance.sample(self.recent, min(12, len(self.recent))):
            listed, offset = [], 0
            while offset == 0 or len(listed) == offset:
                page = client.good("/api/events?customer_id=%s&limit=200&offset=%d"
                                   % (request.name, offset))
                listed += [event["idempotency_key"] for event in page["events"]]
                offset += 200
            equal(len(listed), request.stored, "listed events of " + request.name)
            ensure(len(set(listed)) == len(listed) and set(listed) <= set(request.keys()),
                   "keys of " + request.name)

    def resend(self, client):
        for request in self.requests:
            request.resend(client)
        for one in self.beside:
            one.resend(client)

    def counts(self):
        """(requests, acknowledged, stored without an acknowledgement) of the last start()."""
        silent = [request for request in self.recent if not request.acknowledged]
        return (len(self.recent), len(self.recent) - len(silent),
                sum(request.stored > 0 for request in silent))

    def events(self):
        return sum(request.count for request in self.requests)
