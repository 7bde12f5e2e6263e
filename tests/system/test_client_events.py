"""POST /api/v1/client/events: envelope, keys, races."""

import threading
from decimal import Decimal

from harness import ensure, equal

PATH = "/api/v1/client/events"


def failure(reply, status, code, detail=None):
    equal(reply.status, status, "status (%r)" % reply.body[:200])
    body = reply.json
    equal(body["success"], False, "success")
    equal(body["error"]["code"], code, "code")
    ensure(body["error"]["message"], "no message")
    if detail is not None:
        equal(body["error"].get("detail"), detail, "detail")


def test_accepts(context):
    with context.server() as server:
        client = server.client()
        reply = client.send("POST", PATH, {
            "eventName": "call", "customerReferenceId": "acme", "featureKey": "search",
            "occurredAt": "2026-05-01T00:00:00Z", "eventIdempotencyKey": "one",
            "costInput": {"model": "gpt-4o-mini", "inputTokens": 150, "outputTokens": 80},
            "revenueAmount": 0.05, "flowId": "flow-1", "meta": {"plan": "pro", "n": [1]}})
        equal((reply.status, reply.json), (201, {"success": True, "data": {}}), "answer")
        event = client.good("/api/events")["events"][0]
        equal((event["customer_id"], event["feature_key"], event["event_name"]),
              ("acme", "search", "call"), "dimensions")
        equal((event["cost_amount"], event["cost_source"]), (Decimal("0.0000705"), "price_table"),
              "cost")
        equal((event["revenue_amount"], event["trace_id"], event["idempotency_key"]),
              (Decimal("0.05"), "flow-1", "one"), "rest")
        equal(event["timestamp"], "2026-05-01T00:00:00.000Z", "time")


def test_keys(context):
    with context.server() as server:
        client = server.client()
        event = {"eventName": "call", "eventIdempotencyKey": "body"}
        equal(client.send("POST", PATH, event).status, 201, "first")
        failure(client.send("POST", PATH, event), 409, "conflict", "duplicate_event")
        header = {"X-Idempotency-Key": "header"}
        equal(client.send("POST", PATH, event, headers=header).status, 201, "header wins")
        failure(client.send("POST", PATH, event, headers=header), 409, "conflict",
                "duplicate_event")
        for _ in range(2):
            equal(client.send("POST", PATH, {"eventName": "call"}).status, 201, "no key")
        events = client.good("/api/events?sort_by=timestamp&sort_dir=asc")["events"]
        keys = [e["idempotency_key"] for e in events]
        equal(len(set(keys)), 4, "distinct keys %r" % keys)
        ensure("body" in keys and "header" in keys, repr(keys))
        ensure(all(len(k) == 36 for k in keys if k not in ("body", "header")), repr(keys))
        equal(events[0]["customer_id"], "unknown", "no customer")


def test_customer_order(context):
    with context.server() as server:
        client = server.client()
        event = {"eventName": "call", "customerReferenceId": "ref", "stripeCustomerId": "cus_1",
                 "customerId": "id", "featureId": "fid", "featureKey": "fkey"}
        for expected in ("id", "cus_1", "ref", "unknown"):
            equal(client.send("POST", PATH, event).status, 201, expected)
            found = client.good("/api/events?customer_id=" + expected)
            equal(found["total"], 1, expected)
            equal(found["events"][0]["feature_key"], "fid", "feature")
            for member in ("customerId", "stripeCustomerId", "customerReferenceId"):
                if event.pop(member, None) is not None:
                    break


def test_refusals(context):
    with context.server() as server:
        client = server.client()
        failure(client.send("POST", PATH, {"featureKey": "x"}), 400, "validation_failed")
        failure(client.send("POST", PATH, {"eventName": "n" * 129}), 400, "validation_failed")
        failure(client.send("POST", PATH, {"eventName": "x", "occurredAt": "soon"}), 400,
                "validation_failed")
        failure(client.send("POST", PATH, "{\"eventName\":"), 400, "validation_failed")
        failure(client.send("POST", PATH, "[]"), 400, "validation_failed")
        failure(client.send("POST", PATH, {"eventName": "x"},
                            headers={"X-Idempotency-Key": "k" * 256}), 400, "validation_failed")
        failure(client.send("POST", PATH, {"eventName": "x"}, key=False), 401, "unauthorized")
        failure(client.send("POST", PATH, {"eventName": "x"}, key=False,
                            headers={"X-API-Key": "obs_" + "0" * 48}), 401, "unauthorized")
        good = client.send("POST", PATH, {"eventName": "x"}, key=False,
                           headers={"X-API-Key": client.key})
        equal(good.status, 201, "X-API-Key")
        equal(client.good("/api/events")["total"], 1, "stored")


def test_race_for_one_key(context):
    with context.server() as server:
        for round_number in range(20):
            clients = [server.client() for _ in range(8)]
            start = threading.Barrier(len(clients))
            statuses = []

            def run(client):
                start.wait()
                body = {"eventName": "x", "eventIdempotencyKey": "race-%d" % round_number}
                statuses.append(client.send("POST", PATH, body).status)

            threads = [threading.Thread(target=run, args=(c,)) for c in clients]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            equal(sorted(statuses), [201] + [409] * 7, "statuses")


def test_envelope_of_refusals(context):
    """What the HTTP layer refuses by itself has the envelope too: SDKs parse every answer."""
    with context.server() as server:
        client = server.client()
        packed = {"Content-Encoding": "br"}
        damaged = {"Content-Encoding": "gzip"}
        for method, path, body, headers, status, code in (
                ("POST", "/api/v1/client/nothing", {}, {}, 404, "not_found"),
                ("GET", PATH, None, {}, 405, "method_not_allowed"),
                ("POST", PATH, b" " * (3 << 20), {}, 413, "too_large"),
                ("POST", PATH, {"eventName": "e"}, packed, 415, "unsupported"),
                ("POST", PATH, {"eventName": "e"}, damaged, 400, "validation_failed")):
            reply = client.send(method, path, body, headers)
            client = server.client()
            what = "%s %s" % (method, path)
            equal((reply.status, reply.json["success"], reply.json["error"]["code"]),
                  (status, False, code), what)
            ensure(reply.json["error"]["message"] != "", what)
        reply = client.get("/api/nothing")
        equal((reply.status, reply.json["code"]), (404, "not_found"), "a management path")
