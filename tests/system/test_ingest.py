"""POST /api/events/ingest: answers, every rule of a field, duplicates and conflicts."""

import json
from decimal import Decimal

from harness import ensure, equal

GOOD = {"eventName": "chat", "customerReferenceId": "acme", "featureKey": "search"}


def answer(accepted=0, rejected=0, errors=None, duplicates=0, conflicts=0):
    return {"accepted": accepted, "rejected": rejected, "errors": errors or [],
            "duplicates": duplicates, "conflicts": conflicts}


def with_(**members):
    return dict(GOOD, **members)


# One element each: what is sent instead of a good event, and words its error must contain.
BAD = [
    ({}, ["eventName", "customerReferenceId", "featureKey"]),
    ({"eventName": "x"}, ["customerReferenceId", "featureKey"]),
    (with_(eventName=""), ["eventName"]),
    (with_(eventName=None), ["eventName"]),
    (with_(eventName=5), ["eventName"]),
    (with_(featureKey=["x"]), ["featureKey"]),
    (with_(eventName="n" * 129), ["eventName"]),
    (with_(customerReferenceId="c" * 256), ["customerReferenceId"]),
    (with_(featureKey="f" * 129), ["featureKey"]),
    (with_(timestamp="yesterday"), ["time"]),
    (with_(timestamp=1700000000), ["time"]),
    (with_(timestamp="1999-12-31T23:59:59Z"), ["time"]),
    (with_(timestamp="2099-01-01T00:00:00Z"), ["time"]),
    (with_(timestamp="2026-02-30T00:00:00Z"), ["time"]),
    (with_(costAmount="1"), ["costAmount"]),
    (with_(costAmount=9000001), ["costAmount"]),
    (with_(costAmount=-9000001), ["costAmount"]),
    (with_(costUnit="u" * 17), ["costUnit"]),
    (with_(costUnit=""), ["costUnit"]),
    (with_(revenueAmount=1e7), ["revenueAmount"]),
    (with_(revenueAmount=True), ["revenueAmount"]),
    (with_(usageUnits="many"), ["usageUnits"]),
    (with_(model=""), ["model"]),
    (with_(model="m" * 129), ["model"]),
    (with_(modelProvider="p" * 65), ["modelProvider"]),
    (with_(inputTokens=-1), ["inputTokens"]),
    (with_(inputTokens=5.5), ["inputTokens"]),
    (with_(inputTokens=2**40 + 1), ["inputTokens"]),
    (with_(outputTokens="5"), ["outputTokens"]),
    (with_(outputTokens=-1), ["outputTokens"]),
    (with_(inputTokens=10, cachedInputTokens=11), ["cachedInputTokens"]),
    (with_(inputTokens=10, cachedInputTokens=6, cacheWriteTokens=5), ["cache"]),
    (with_(cachedInputTokens=-1), ["cachedInputTokens"]),
    (with_(outputTokens=10, reasoningTokens=1.5), ["reasoningTokens"]),
    (with_(properties=[1]), ["properties"]),
    (with_(properties={"x": "y" * 33000}), ["properties"]),
    (with_(meta="text"), ["meta"]),
    (with_(meta={"k%d" % i: "v" for i in range(65)}), ["meta"]),
    (with_(meta={"k": "v" * 9000}), ["meta"]),
    (with_(meta={"k": {"deep": 1}}), ["meta"]),
    (with_(idempotencyKey="k" * 256), ["idempotencyKey"]),
    (with_(idempotencyKey=7), ["idempotencyKey"]),
    (with_(traceId="t" * 129), ["traceId"]),
    (with_(traceId=""), ["traceId"]),
    (with_(spanId="s" * 129), ["spanId"]),
    (with_(parentSpanId="p" * 129), ["parentSpanId"]),
    (with_(agentId="a" * 129), ["agentId"]),
    (with_(durationMs=-1), ["durationMs"]),
    (with_(durationMs="fast"), ["durationMs"]),
    (with_(costType="c" * 65), ["costType"]),
    (with_(costType=""), ["costType"]),
    ("not an object", []),
    (17, []),
    (None, []),
    ([], []),
]

FINE = [
    GOOD,
    with_(eventName="n" * 128, customerReferenceId="c" * 255, featureKey="f" * 128),
    with_(timestamp="2026-05-01T12:34:56Z"),
    with_(timestamp="2026-05-01T12:34:56.123456+02:00"),
    with_(timestamp="2026-05-01T12:34:56"),
    with_(timestamp="2000-01-01T00:00:00Z"),
    with_(costAmount=0), with_(costAmount=-3.5), with_(costAmount=9000000),
    with_(costAmount=1e-13), with_(costAmount=0.1234567890125),
    with_(costAmount=2, costUnit="EUR"), with_(costUnit="USD", costAmount=1),
    with_(usageUnits=2.5), with_(usageUnits=-4),
    with_(inputTokens=5.0, outputTokens=0),
    with_(inputTokens=2**40),
    with_(model="gpt-4o", inputTokens=10, cachedInputTokens=6, cacheWriteTokens=4),
    with_(model=None, timestamp=None, costAmount=None, meta=None, properties=None),
    with_(unknownMember={"a": [1, 2, {"b": None}]}),
    with_(idempotencyKey=""), with_(idempotencyKey=""),
    with_(durationMs=1.5),
    with_(properties={"a": {"b": [1, True, None, "x"]}}),
    with_(meta={"n": 5, "b": True, "s": "text"}),
    with_(requestBody="{}", responseBody={"choices": []}),
    with_(traceId="t", spanId="s", parentSpanId="p", agentId="a", costType="tool"),
]


def test_validation(context):
    with context.server() as server:
        client = server.client()
        for event, words in BAD:
            got = client.ingest([GOOD, event, GOOD])
            equal((got["accepted"], got["rejected"], got["duplicates"]), (2, 1, 0), repr(event))
            equal([e["index"] for e in got["errors"]], [1], "index of %r" % (event,))
            for word in words:
                ensure(word in got["errors"][0]["error"],
                       "%r does not name %s" % (got["errors"][0], word))
        for event in FINE:
            equal(client.ingest([event]), answer(accepted=1), repr(event)[:200])
        everything = client.ingest([event for event, _ in BAD])
        equal(everything["accepted"], 0, "accepted")
        equal([e["index"] for e in everything["errors"]], list(range(len(BAD))), "indexes")
        # Several missing fields are one entry, in the order of the table.
        text = client.ingest([{}])["errors"][0]["error"]
        places = [text.index(w) for w in ("eventName", "customerReferenceId", "featureKey")]
        ensure(places == sorted(places), "order of missing fields: " + text)


def test_batch_bounds(context):
    with context.server() as server:
        client = server.client()
        equal(client.ingest([GOOD] * 1000), answer(accepted=1000), "1000 events")
        for body in ({"events": []}, {"events": [GOOD] * 1001}, {"events": GOOD}, {}, [], 5, None,
                     {"events": None}):
            reply = client.send("POST", "/api/events/ingest", json.dumps(body))
            equal(reply.status, 400, "status for %r" % str(body)[:80])
            equal(sorted(reply.json), ["code", "error"], "members")
            equal(reply.json["code"], "invalid_request", "code")
        equal(client.good("/api/events?limit=1")["total"], 1000, "stored")


def test_last_member_wins(context):
    with context.server() as server:
        client = server.client()
        body = ('{"x":1,"events":[{"eventName":"a","eventName":"b","customerReferenceId":"c",'
                '"featureKey":"f","costAmount":1,"costAmount":2.5}],"y":[]}')
        reply = client.send("POST", "/events/ingest", body)
        equal(reply.json, answer(accepted=1), "answer")
        event = client.good("/api/events")["events"][0]
        equal((event["event_name"], event["cost_amount"]), ("b", 2.5), "event")


def test_nul_and_surrogates(context):
    with context.server() as server:
        client = server.client()
        good = '{"eventName":"a\\u0000b","customerReferenceId":"\\ud83d\\ude00","featureKey":"f"}'
        bad = '{"eventName":"a\\ud83d","customerReferenceId":"c","featureKey":"f"}'
        reply = client.send("POST", "/api/events/ingest", '{"events":[%s,%s]}' % (good, bad))
        equal((reply.json["accepted"], [e["index"] for e in reply.json["errors"]]), (1, [1]),
              "answer")
        event = client.good("/api/events")["events"][0]
        equal((event["event_name"], event["customer_id"]), ("ab", "\U0001f600"), "texts")


def test_duplicates(context):
    with context.server() as server:
        client = server.client()
        first = with_(idempotencyKey="k1", costAmount=1)
        equal(client.ingest([first]), answer(accepted=1), "first")
        equal(client.ingest([first]), answer(rejected=1, duplicates=1), "repeat")
        reordered = dict(reversed(list(first.items())))
        equal(client.ingest([reordered]), answer(rejected=1, duplicates=1), "other order")
        other = with_(idempotencyKey="k1", costAmount=2)
        equal(client.ingest([other]), answer(rejected=1, duplicates=1, conflicts=1), "conflict")
        batch = [with_(idempotencyKey="k2"), with_(idempotencyKey="k2"),
                 with_(idempotencyKey="k2", model="x"), with_(), with_(), first]
        equal(client.ingest(batch), answer(accepted=3, rejected=3, duplicates=3, conflicts=1),
              "within a batch")
        # An invalid event with a known key is an error, not a duplicate; its key stays free.
        got = client.ingest([dict(first, inputTokens=-1), with_(idempotencyKey="k3", model="")])
        equal((got["rejected"], got["duplicates"], len(got["errors"])), (2, 0, 2), "invalid")
        equal(client.ingest([with_(idempotencyKey="k3")]), answer(accepted=1), "free key")
        equal(client.good("/api/events?limit=1")["total"], 5, "stored")
        server.restart()
        client = server.client()
        equal(client.ingest([first]), answer(rejected=1, duplicates=1), "after restart")
        server.restart(hard=True)
        client = server.client()
        equal(client.ingest([other]), answer(rejected=1, duplicates=1, conflicts=1), "after kill")


def test_duplicate_across_endpoints(context):
    with context.server() as server:
        client = server.client()
        single = {"eventName": "e", "eventIdempotencyKey": "shared-1", "customerReferenceId": "c"}
        equal(client.ingest([with_(idempotencyKey="shared-1")]), answer(accepted=1), "batch")
        reply = client.send("POST", "/api/v1/client/events", single)
        equal(reply.status, 409, "single after batch")
        single["eventIdempotencyKey"] = "shared-2"
        equal(client.send("POST", "/api/v1/client/events", single).status, 201, "single")
        got = client.ingest([with_(idempotencyKey="shared-2")])
        equal((got["accepted"], got["duplicates"]), (0, 1), "batch after single")


def test_test_event(context):
    with context.server() as server:
        client = server.client()
        reply = client.send("POST", "/api/events/test", {"featureKey": "first \"steps\""})
        equal(reply.status, 200, "status (%r)" % reply.body[:200])
        event = reply.json
        equal((event["customer_id"], event["feature_key"], event["model"], event["input_tokens"],
               event["output_tokens"], event["duration_ms"]),
              ("test_customer", "first \"steps\"", "gpt-4o", 1000, 500, 500), "event")
        equal(event["cost_amount"], Decimal("0.0075"), "cost")
        equal(client.good("/api/events/%d" % event["id"])["timestamp"], event["timestamp"], "again")
        for body in ("", "{", "[]", {}, {"featureKey": ""}, {"featureKey": 5},
                     {"featureKey": "f" * 129}, {"featureKey": None}):
            equal(client.send("POST", "/events/test", body).status, 400, repr(body))
        equal(client.good("/api/events?limit=1")["total"], 1, "stored")
