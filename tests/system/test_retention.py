"""Events that become too old: they leave figures, lists, keys and disk, and none comes any more."""

import os
import threading
import time

import figures
import oracle
import scenario
from figures import DAY
from harness import alone, ensure, equal, once

WAIT_SECONDS = 60


def horizon(days):
    now = int(time.time() * 1000)
    return (now - days * DAY) // DAY * DAY


def kept(book, oldest_ms):
    """The same events without those from before."""
    rest = oracle.Book(book.prices)
    rest.events = [e for e in book.events if e.ms >= oldest_ms]
    rest.keys = {e.key: e for e in rest.events if e.key is not None}
    return rest


def check(client, book, days):
    figures.compare_aggregates(client, book)
    figures.compare_traces(client, book)
    figures.compare_bounds(client, book, horizon(days + 3) + 12345, horizon(2) + 54321)
    page = client.good("/api/events?limit=200&sort_by=timestamp&sort_dir=asc")
    equal(page["total"], len(book.select()), "total")
    oldest = sorted(oracle.iso(e.ms) for e in book.select())[:200]
    equal([row["timestamp"] for row in page["events"]], oldest, "the oldest")


def wait_expired(server, least=1):
    deadline = time.monotonic() + WAIT_SECONDS
    while sum("event=expired" in line for line in server.log) < least:
        ensure(time.monotonic() < deadline, "nothing expired: " + "".join(server.log[-5:]))
        time.sleep(0.02)


def restart_with(server, days, hard=False):
    """With another retention; the log begins anew."""
    (server.kill if hard else server.stop)()
    server.log.clear()
    server.arguments = [a for a in server.arguments if not a.startswith("--retention")]
    server.arguments += ["--retention-days=%d" % days] if days else []
    server.start()


def refused(client, event):
    got = client.ingest([event])
    equal((got["accepted"], got["rejected"], got["duplicates"]), (0, 1, 0), "too old: %r" % got)
    return got["errors"][0]["error"]


@once
def test_expiry(context):
    with context.server() as server:
        book = oracle.Book()
        events = scenario.make(71, 1500)
        scenario.send(server.client(), book, events, batch=130)
        before = server.client().good("/api/events?limit=1")["total"]
        equal(before, len(book.select()), "all are there")
        for days, hard in ((150, False), (25, True), (3, False)):
            restart_with(server, days, hard)
            wait_expired(server)
            rest = kept(book, horizon(days))
            ensure(0 < len(rest.events) < len(book.events), "some of each")
            check(server.client(), rest, days)
            server.verify()
            server.restart(hard=days == 25)
            check(server.client(), rest, days)
            gone = [e for e, stored in zip(events, book.events) if stored.ms < horizon(days)]
            stay = [e for e, stored in zip(events, book.events) if stored.ms >= horizon(days)]
            text = refused(server.client(), gone[0])
            equal(text, "timestamp is older than the %d days that events are kept" % days, "why")
            equal(server.client().ingest(stay[:500])["duplicates"], len(stay[:500]), "keys kept")
            # A key whose event is gone is free for an event of now.
            again = [dict(e, timestamp=oracle.iso(int(time.time() * 1000))) for e in gone[:20]]
            equal(server.client().ingest(again)["accepted"], 20, "free keys")
            equal(server.client().ingest(again)["duplicates"], 20, "and taken again")
            for event in again:
                del book.keys[event["idempotencyKey"]]
                ensure(book.add(event) is not None, "the oracle's own")
            for event in gone[:20]:
                events.remove(event)
            book.events = [e for e in book.events if e.ms >= horizon(days)]
            kept_now = {e.key for e in book.events}
            events = [e for e in events if e["idempotencyKey"] in kept_now] + again
            book.events.sort(key=lambda e: [x["idempotencyKey"] for x in events].index(e.key))
            check(server.client(), kept(book, horizon(days)), days)
            server.verify()
        # Without a bound, what is gone stays gone and its time closed.
        restart_with(server, 0)
        check(server.client(), kept(book, horizon(3)), 3)
        text = refused(server.client(), dict(events[0], idempotencyKey="x",
                                             timestamp=oracle.iso(horizon(3) - 1)))
        ensure("removed for their age" in text, text)
        server.verify()


class Writer(threading.Thread):
    """New events, batch by batch, until it is told to stop."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.client = server.client()
        self.events = []
        self.done = threading.Event()
        self.slowest = 0

    def run(self):
        while not self.done.is_set():
            part = scenario.make(len(self.events) + 5000, 60, prefix="beside")
            begin = time.monotonic()
            got = self.client.ingest(part)
            self.slowest = max(self.slowest, time.monotonic() - begin)
            self.events += [event for n, event in enumerate(part)
                            if n not in {error["index"] for error in got["errors"]}]


def send_old(server, count):
    """Events of twenty days ago, enough for blocks that are merged."""
    client = server.client()
    when = oracle.iso(horizon(20))
    for first in range(0, count, 1000):
        got = client.ingest([{"eventName": "old", "customerReferenceId": "c%d" % (n % 500),
                              "featureKey": "f", "costAmount": 1, "timestamp": when,
                              "idempotencyKey": "old-%d" % n, "agentId": "a%d" % (n % 9),
                              "traceId": "t%d" % (n // 20)} for n in range(first, first + 1000)])
        equal(got["accepted"], 1000, "accepted")


@alone
@once
def test_while_events_come(context):
    """Many events expire beside ingest and reading; the disk is given back."""
    with context.server() as server:
        send_old(server, 80000)
        used = server.client().get("/metrics").body.decode()
        server.stop()
        server.log.clear()
        server.arguments.append("--retention-days=2")
        server.start()
        writer = Writer(server)
        reader = server.client()
        writer.start()
        wait_expired(server)
        for _ in range(3):
            totals = [row["event_count"] for row in
                      reader.good("/api/events/by-feature?date_from=%s" % oracle.iso(horizon(1)))]
            ensure(sum(totals) > 0, "the days that are kept")
        writer.done.set()
        writer.join()
        ensure(len(writer.events) > 0, "nothing came in meanwhile")
        server.verify()
        deadline = time.monotonic() + WAIT_SECONDS
        while value(server, "margind_log_payload_bytes") > bytes_of(used) / 2:
            ensure(time.monotonic() < deadline, "the disk is not given back")
            time.sleep(0.1)
        ensure(value(server, "margind_events_expired_total") == 80000, "the metric")
        server.restart(hard=True)
        server.verify()


def bytes_of(metrics, name="margind_log_payload_bytes"):
    lines = [line for line in metrics.splitlines() if line.startswith(name + " ")]
    return float(lines[0].split()[1])


def value(server, name):
    return bytes_of(server.client().get("/metrics").body.decode(), name)


@once
def test_uploads(context):
    """What an upload brings is as old as it says."""
    with context.server(arguments=["--retention-days", "100"]) as server:
        client = server.client()
        old, new = oracle.iso(horizon(200))[:7], oracle.iso(horizon(20))[:7]
        reply = client.send("POST", "/api/data/upload/costs", {"records": [
            {"month": new, "cost": 5}, {"month": old, "cost": 7}]})
        equal(reply.status, 400, "an old month")
        ensure("before the days that events are kept" in reply.body.decode(), reply.body)
        reply = client.send("POST", "/api/data/upload/costs",
                            {"records": [{"month": new, "cost": 5}]})
        equal(reply.status, 200, "a new one")
        reply = client.send("POST", "/api/data/upload/provider-csv", {
            "raw_csv": "when,paid\n%s-01,3\n" % old, "mapping": {"date": 0, "cost": 1}})
        equal(reply.status, 400, "an old bill")
        event = dict(scenario.make(1, 1)[0], timestamp=oracle.iso(horizon(100)))
        equal(client.ingest([event])["accepted"], 1, "just young enough")
        refused(client, dict(event, idempotencyKey="y", timestamp=oracle.iso(horizon(100) - 1)))
        ensure(value(server, "margind_events_too_old_total") == 1, "the metric")
