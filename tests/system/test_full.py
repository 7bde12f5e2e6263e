"""A full log: a clear refusal, nothing half done, reads go on, and room makes writing go on."""

import os

from harness import ensure, equal

BATCH = 1000


def batch(number):
    """Texts that do not compress, so that a small log fills soon."""
    return [{"eventName": "chat", "customerReferenceId": "customer-%d" % number,
             "featureKey": "search", "costAmount": 0.25,
             "idempotencyKey": os.urandom(60).hex()} for _ in range(BATCH)]


def fill(client):
    """Sends until the log is full; the batches that were acknowledged and the one that was not."""
    kept = []
    for number in range(500):
        events = batch(number)
        reply = client.send("POST", "/api/events/ingest", {"events": events})
        if reply.status != 200:
            return kept, events, reply
        equal(reply.json["accepted"], BATCH, "accepted")
        kept.append(events)
    raise AssertionError("the log never filled")


def check(client, kept):
    rows = {r["customer_id"]: r for r in client.good("/api/events/by-customer")}
    equal(len(rows), len(kept), "customers")
    for events in kept:
        row = rows[events[0]["customerReferenceId"]]
        equal((row["event_count"], row["total_cost"]), (BATCH, BATCH // 4), "a batch")
    equal(client.good("/api/events?limit=1")["total"], BATCH * len(kept), "total")


def test_full_log(context):
    with context.server(arguments=["--log-map-bytes", "16M"]) as server:
        client = server.client()
        kept, refused, reply = fill(client)
        equal((reply.status, reply.json["code"]), (503, "overloaded"), "the answer when full")
        ensure(int(reply.headers["Retry-After"]) >= 1, "Retry-After")
        ensure(len(kept) >= 3, "the log was full after %d batches" % len(kept))
        check(client, kept)
        single = client.send("POST", "/api/v1/client/events",
                             {"eventName": "x" * 100, "meta": {"pad": os.urandom(1000).hex()}})
        ensure(single.status in (201, 503), "single event: %d" % single.status)
        if single.status == 201:
            kept_single = 1
        else:
            equal(single.json["error"]["code"], "overloaded", "code")
            kept_single = 0
        server.restart(hard=True)
        if kept_single == 0:
            check(server.client(), kept)
        server.stop()
        server.arguments = ["--log-map-bytes", "64M"]
        server.start()
        client = server.client()
        if kept_single == 0:
            check(client, kept)
        # The keys of the refused batch are free.
        got = client.ingest(refused)
        equal((got["accepted"], got["duplicates"]), (BATCH, 0), "the refused batch, sent again")
        repeated = client.ingest(kept[0])
        equal((repeated["accepted"], repeated["duplicates"]), (0, BATCH), "a kept batch again")
        page = client.good("/api/events?customer_id=%s&limit=200"
                           % refused[0]["customerReferenceId"])
        equal(page["total"], BATCH, "events of the refused batch")
