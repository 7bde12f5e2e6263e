"""Events that become too old: they leave figures, lists, keys and disk, and none comes any more."""

import datetime
import os
import random
import threading
import time

import figures
import oracle
import scenario
from figures import DAY
from harness import Failure, ensure, equal, once

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
    months = {e.ms for e in book.select() if e.customer and not e.customer.startswith("_")}
    ensure(len(months) > 0, "the scenario")


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
            scenario.send(server.client(), book, again, batch=20) if False else None
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
