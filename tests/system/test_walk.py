"""Whoever is confused, or hostile, at every endpoint: each is asked for what it cannot have, by a
walk over the server's own list of routes."""

import json
import re

import schema
from harness import ensure, equal, once
from test_accounts import OPEN, Session, account, admin

STRANGE_IDS = ["x", "0", "-1", "1.5", "1e3", "1%20", "+1", "%201", "99999999999999999999",
               "18446744073709551615", "0x1", "1,2", "%D9%A1", "..%2F1", "null"]
STRANGE_BODIES = ["", "{", "[]", "null", "7", '"x"', '{"a":}', "\xff", '{"a":1}{"b":2}', "[[[["]
STRANGE_WINDOWS = ["days=x", "days=0", "days=-1", "days=1.5", "date_from=yesterday",
                   "date_to=2026-02-30", "date_from=2026-05-02&date_to=2026-05-01",
                   "date_from=2026-05-01T25:00:00Z"]


def send_some(client, mark):
    """An account with something in each list."""
    events = [{"eventName": "chat", "customerReferenceId": "%s-c%d" % (mark, i % 5),
               "featureKey": "%s-f%d" % (mark, i % 4), "model": "gpt-4o-mini",
               "inputTokens": 10 * i, "outputTokens": i, "revenueAmount": 0.01 * i,
               "traceId": "%s-t%d" % (mark, i % 3), "spanId": "s%d" % i,
               "agentId": "%s-a%d" % (mark, i % 2), "durationMs": i,
               "timestamp": "2026-%02d-0%dT00:00:00Z" % (1 + i % 5, 1 + i % 9)}
              for i in range(40)]
    events += [dict(event, timestamp=None) for event in events]
    equal(client.ingest(events)["accepted"], 80, "events")
    sales = {"customers": [{"customer_id": "%s-c%d" % (mark, i)} for i in range(3)],
             "plans": [{"plan_id": "%s-p%d" % (mark, i), "price_amount": i + 1} for i in range(3)],
             "subscriptions": [{"customer_id": "%s-c%d" % (mark, i),
                                "plan_id": "%s-p%d" % (mark, i)} for i in range(3)]}
    equal(client.send("POST", "/api/data/upload/revenue", sales).status, 200, "sales")
    for i in range(3):
        equal(client.send("POST", "/api/feature-pricing",
                          {"feature_key": "%s-f%d" % (mark, i), "revenue_per_unit": 1}).status, 200,
              "a feature's price")
        equal(client.send("PUT", "/api/pricing/models/%s-m%d" % (mark, i),
                          {"input_cost_per_million": 1, "output_cost_per_million": 2}).status, 200,
              "a model's price")


def operations(client):
    """Method, path and names of the query's parameters."""
    document = client.get("/openapi.json", key=False).json
    compiler = schema.Compiler(document)
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            named = [compiler.resolve(one["$ref"]) for one in operation["parameters"]]
            yield (verb.upper(), path, {one["name"] for one in named if one["in"] == "query"},
                   operation)


def filled(path, mark):
    """A path to something that is there."""
    for name, value in (("featureKey", mark + "-f1"), ("customerId", mark + "-c1"),
                        ("traceId", mark + "-t1"), ("modelName", mark + "-m1")):
        path = path.replace("{%s}" % name, value)
    return path.replace("{id}", "1")


def steady(reply):
    """What does not change from one second to the next."""
    return reply.status, re.sub(rb"\d\d:\d\d:\d\d\.\d\d\dZ|_in_force_since[^,]*", b"", reply.body)


def with_query(path, query):
    return path + ("&" if "?" in path else "?") + query


@once
def test_parameters(context):
    """What is not described has no effect; what is described refuses what it cannot mean."""
    with context.server(arguments=OPEN + ("--limit-management", "0")) as server:
        client = server.client()
        send_some(client, "one")
        walked = 0
        for method, path, names, _ in operations(client):
            path = filled(path, "one")
            if method != "GET" or path in ("/metrics", "/readyz", "/healthz"):
                continue
            walked += 1
            good = steady(client.get(path))
            for name, value in (("limit", "1"), ("offset", "1"), ("days", "1"), ("months", "1"),
                                ("date_from", "2026-03-03"), ("date_to", "2026-03-03"),
                                ("period_start", "2026-03-03"), ("sort_by", "cost_amount"),
                                ("sort_dir", "asc"), ("feature_key", "one-f1"),
                                ("customer_id", "one-c1"), ("model", "x"), ("source", "csv"),
                                ("cost_type", "x"), ("trace_id", "x"), ("agent_id", "x"),
                                ("tree", "1"), ("color", "red"), ("account_id", "2"),
                                ("account", "2"), ("live", "0"), ("period_end", "x"),
                                ("limit", "99999999999999999999999")):
                if name not in names:
                    again = steady(client.get(with_query(path, "%s=%s" % (name, value)), odd=True))
                    equal(again, good, "%s with %s=%s" % (path, name, value))
            if "offset" in names:
                for value in ("9007199254740992", "18446744073709551615", "9" * 40):
                    reply = client.get(with_query(path, "offset=" + value), odd=True)
                    equal((reply.status, reply.json["code"]), (400, "invalid_request"),
                          "%s with offset %s" % (path, value))
                equal(client.get(with_query(path, "offset=9007199254740991")).status, 200, path)
                for odd in ("limit=-1", "limit=x", "limit=0", "limit=1e9", "offset=-7", "offset=x",
                            "limit=", "offset=", "limit=9999999999999999999999"):
                    equal(client.get(with_query(path, odd), odd=True).status, 200, path + " " + odd)
            if "days" in names:
                for odd in STRANGE_WINDOWS:
                    reply = client.get(with_query(path, odd), odd=True)
                    equal((reply.status, reply.json["code"]), (400, "invalid_request"),
                          "%s with %s" % (path, odd))
                for fine in ("days=all", "days=3650000", "days=99999999999999999999",
                             "date_from=0001-01-01", "date_to=9999-12-31"):
                    equal(client.get(with_query(path, fine)).status, 200, path + " " + fine)
        ensure(walked > 40, "routes walked: %d" % walked)


@once
def test_strangers(context):
    """Another account's objects and unknown ones are answered alike, and so are odd ids."""
    with context.server(arguments=OPEN + ("--limit-management", "0")) as server:
        client = server.client()
        other = account(context, server, "theirs")
        admin(context, server, "you@example.com", "--account", str(other))
        theirs = server.client(key=Session(server, "you@example.com").make_key(name="k")["key"])
        send_some(client, "one")
        send_some(theirs, "two")
        admin(context, server, "me@example.com")
        session = Session(server, "me@example.com")
        own_keys = session.send("GET", "/api/sdk-keys").json
        for method, path, _, operation in operations(client):
            if "{" not in path:
                continue
            caller = session if operation["x-caller"] != "any" else client
            body = None if method == "GET" else "{}"
            if "requestBody" in operation:
                some = schema.Compiler(client.description.document)
                wanted = operation["requestBody"]["content"]["application/json"]["schema"]
                body = json.dumps(some.resolve(wanted["$ref"]).get("examples", [{}])[0])
            if "{id}" in path:
                for one in STRANGE_IDS:
                    reply = caller.send(method, path.replace("{id}", one), body, checked=False)
                    equal(reply.status, 404, "%s %s with %s" % (method, path, one))
                    equal(reply.json["code"], "not_found", path)
            names = {"{featureKey}": "-f1", "{customerId}": "-c1", "{modelName}": "-m1",
                     "{traceId}": "-t1"}
            found = re.search(r"\{\w+\}", path)[0]
            if found in names and method == "GET":
                strange = client.get(path.replace(found, "two" + names[found]))
                nobody = client.get(path.replace(found, "six" + names[found]))
                equal(strange.status, nobody.status, path)
                equal(strange.body.replace(b"two-", b"six-"), nobody.body, path)
        # Numbers are given over all accounts: those of the other one are not found.
        mine = {event["id"] for event in client.good("/api/events?limit=200")["events"]}
        other = {event["id"] for event in theirs.good("/api/events?limit=200")["events"]}
        ensure(not mine & other, "events of both")
        for one in sorted(other)[:5]:
            strange, nobody = client.get("/api/events/%d" % one), client.get("/api/events/999999")
            equal((strange.status, strange.body), (nobody.status, nobody.body), "an event")
        for one in theirs.good("/api/feature-definitions")["definitions"]:
            if one["id"] in {d["id"] for d in
                             client.good("/api/feature-definitions")["definitions"]}:
                continue
            for method in ("PATCH", "DELETE"):
                equal(client.send(method, "/api/feature-definitions/%d" % one["id"],
                                  {"name": "x"}).status, 404, "a definition")
        for key in theirs.good("/api/sdk-keys"):
            ensure(key["id"] not in {k["id"] for k in own_keys}, "keys of both")
            path = "/api/sdk-keys/%d" % key["id"]
            equal(session.send("DELETE", path).status, 404, "a key")
            equal(session.send("POST", path + "/reset").status, 404, "a key")
        equal(theirs.good("/api/data/status")["customer_count"], 5, "theirs are there")


@once
def test_bodies(context):
    """What is no JSON, or no object, is refused by each endpoint that takes one."""
    with context.server(arguments=OPEN + ("--limit-management", "0", "--limit-auth", "0",
                                          "--limit-expensive", "0", "--limit-failed", "0",
                                          "--limit-signup", "0", "--signup", "on")) as server:
        client = server.client()
        send_some(client, "one")
        admin(context, server, "me@example.com")
        session = Session(server, "me@example.com")
        before = client.good("/api/data/status")
        walked = 0
        for method, path, _, operation in operations(client):
            if "requestBody" not in operation:
                continue
            walked += 1
            caller = session if operation["x-caller"] != "any" else client
            real = filled(path, "one")
            for body in STRANGE_BODIES:
                reply = caller.send(method, real, body.encode("latin-1"), checked=False)
                if body == "" and reply.status < 300:
                    ensure(not operation["requestBody"].get("required"), path + ": it is required")
                    continue
                equal(reply.status, 400, "%s %s with %r" % (method, path, body))
                code = reply.json["error"]["code"] if "client" in path else reply.json["code"]
                ensure(code in ("invalid_request", "validation_failed"), path + " " + code)
        ensure(walked >= 15, "bodies: %d" % walked)
        equal(client.good("/api/data/status"), before, "nothing was changed")
