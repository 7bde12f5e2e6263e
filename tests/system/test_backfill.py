"""POST /api/backfill/revenue: events without revenue earn what the prices of now say."""

import http.client
import random
import threading
import time
from decimal import Decimal

from harness import ensure, equal

PATH = "/api/backfill/revenue"
ZERO = {"events_updated": 0, "events_skipped": 0, "events_checked": 0, "customers_resolved": 0,
        "customers_checked": 0}


def event(feature, customer, **more):
    return dict({"eventName": "e", "customerReferenceId": customer, "featureKey": feature}, **more)


def price(client, feature, amount):
    equal(client.send("POST", "/api/feature-pricing",
                      {"feature_key": feature, "revenue_per_unit": amount}).status, 200, "price")


def backfill(client):
    reply = client.send("POST", PATH)
    equal(reply.status, 200, "backfill (%s)" % reply.body)
    return reply.json


def revenues(client):
    """By event name and customer: what each event earns and why, newest first."""
    rows = client.good("/api/events?limit=200")["events"]
    return [(row["feature_key"], row["customer_id"], row["revenue_amount"], row["revenue_source"])
            for row in rows]


def by_feature(client):
    return {row["feature_key"]: row["total_revenue"]
            for row in client.good("/api/events/by-feature?days=all")}


def test_backfill(context):
    """Events without revenue are attributed anew, others are left alone; it lasts, and figures,
    lists, traces and the log agree before and after restarts."""
    with context.server() as server:
        client = server.client()
        equal(backfill(client), ZERO, "nothing is there")
        client.ingest([event("chat", "a", traceId="t", agentId="robot"),
                       event("chat", "b", costAmount=0.5, idempotencyKey="k"),
                       event("chat", "_internal", timestamp="2026-01-05T00:00:00Z"),
                       event("search", "a", timestamp="2025-11-05T10:00:00Z"),
                       event("chat", "c", revenueAmount=3)])
        equal(backfill(client), dict(ZERO, events_checked=4, events_skipped=4,
                                     customers_checked=3), "no prices")
        price(client, "chat", 0.25)
        client.ingest([event("chat", "d")])
        equal(backfill(client), {"events_updated": 2, "events_skipped": 2, "events_checked": 4,
                                 "customers_resolved": 2, "customers_checked": 3}, "two of them")
        quarter = Decimal("0.25")
        wanted = [("chat", "d", quarter, "feature_pricing"), ("chat", "c", 3, "explicit"),
                  ("chat", "b", quarter, "feature_pricing"),
                  ("chat", "a", quarter, "feature_pricing"), ("chat", "_internal", 0, "none"),
                  ("search", "a", 0, "none")]
        price(client, "chat", 7)
        equal(backfill(client), {"events_updated": 0, "events_skipped": 2, "events_checked": 2,
                                 "customers_resolved": 0, "customers_checked": 2}, "once is enough")
        for again in range(3):
            equal(sorted(revenues(client), key=str), sorted(wanted, key=str), "events")
            equal(by_feature(client), {"chat": Decimal("3.75"), "search": 0}, "by feature")
            equal(client.good("/api/events/traces")["traces"][0]["total_revenue"], quarter,
                  "the trace")
            equal(client.good("/api/events/by-agent")[0]["total_revenue"], quarter, "the agent")
            repeat = client.ingest([event("chat", "b", costAmount=0.5, idempotencyKey="k")])
            equal(repeat["duplicates"], 1, "its key is still known")
            server.verify()
            server.restart(again == 0)
            client = server.client()


def test_backfill_of_many(context):
    """More events than it looks at; two at once change each event once."""
    with context.server() as server:
        client = server.client()
        for first in range(0, 51000, 1000):
            client.ingest([event("f%d" % (n % 3), "c%d" % (n % 700))
                           for n in range(first, first + 1000)])
        price(client, "f0", 1)
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(backfill(server.client())))
                   for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        answers.sort(key=lambda answer: -answer["events_updated"])
        equal(answers[0]["events_checked"], 50000, "checked")
        updated = sum(answer["events_updated"] for answer in answers)
        ensure(updated in (16666, 17000), "each event once: %d" % updated)
        equal(by_feature(client)["f0"], updated, "what they earn")
        answer = backfill(client)
        equal(updated + answer["events_updated"], 17000, "the rest")
        equal(by_feature(client), {"f0": 17000, "f1": 0, "f2": 0}, "all")
        server.restart(True)
        equal(by_feature(server.client()), {"f0": 17000, "f1": 0, "f2": 0}, "after a kill")
        server.verify()


def test_backfill_and_kills(context):
    """kill -9 in the middle of a backfill leaves all of it or nothing, and the answer is kept."""
    chance = random.Random(7)
    with context.server() as server:
        client = server.client()
        seen = set()
        for number in range(8):
            feature = "f%d" % number
            for _ in range(10):
                client.ingest([event(feature, "c%d" % n) for n in range(1000)])
            price(client, feature, 1)
            answers = []

            def ask(target):
                try:
                    answers.append(backfill(target))
                except (OSError, EOFError, ValueError, http.client.HTTPException):
                    pass

            thread = threading.Thread(target=ask, args=(server.client(),))
            thread.start()
            time.sleep(chance.choice((0, 0.01, 0.02, 0.03, 0.05, 0.1)))
            server.kill()
            thread.join()
            server.start()
            client = server.client()
            earned = by_feature(client)[feature]
            ensure(earned in (0, 10000), "all or nothing, not %s" % earned)
            ensure(not answers or earned == 10000, "it was answered")
            seen.add(earned)
            if earned == 0:
                equal(backfill(client)["events_updated"], 10000, "again")
            server.verify()
        print("    what kills left: %s" % sorted(seen))


def test_backfill_is_for_those_who_may(context):
    """A key needs usage.write."""
    with context.server() as server:
        client = server.client()
        equal(client.send("GET", PATH).status, 405, "method")
        client.key = "nonsense"
        equal(client.send("POST", PATH).status, 401, "key")
