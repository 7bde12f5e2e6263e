"""Definitions of features: those that events make, those made by hand, and what changes them."""

from decimal import Decimal

from harness import ensure, equal

PATH = "/api/feature-definitions"


def event(feature, cost, **more):
    return dict({"eventName": "e", "customerReferenceId": "c", "featureKey": feature,
                 "costAmount": cost}, **more)


def by_feature(client):
    rows = client.good(PATH)["definitions"]
    found = {row["feature_key"]: row for row in rows}
    equal(len(found), len(rows), "one definition a feature")
    return found


def test_of_events(context):
    """A feature that events name has a definition with its figures; its id never changes."""
    with context.server() as server:
        client = server.client()
        equal(client.good(PATH), {"definitions": []}, "at first")
        client.ingest([event("chat", 1.5, timestamp="2026-05-01T00:00:00Z"),
                       event("chat", 2, timestamp="2026-05-03T00:00:00.5Z"),
                       event("search", 9, timestamp="2026-04-01T00:00:00Z")])
        rows = client.good(PATH)["definitions"]
        equal([row["feature_key"] for row in rows], ["search", "chat"], "by cost")
        chat = rows[1]
        equal({name: chat[name] for name in chat if name != "id"},
              {"name": "chat", "feature_key": "chat", "kind": "outcome", "description": None,
               "code_location": None, "event_count": 2, "total_cost": Decimal("3.5"),
               "last_seen": "2026-05-03T00:00:00.500Z", "revenue_per_unit": None,
               "unit_label": None, "created_at": "2026-05-01T00:00:00.000Z",
               "updated_at": "2026-05-01T00:00:00.000Z"}, "what events made")
        equal(client.send("POST", "/api/feature-pricing",
                          {"feature_key": "chat", "revenue_per_unit": 0.25}).status, 200, "price")
        reply = client.send("PATCH", "%s/%d" % (PATH, chat["id"]),
                            {"name": "Chat", "kind": "value", "description": "talks",
                             "code_location": "src/chat.py:7", "unknown": 1})
        equal(reply.status, 200, "change")
        changed = reply.json["definition"]
        equal((changed["id"], changed["name"], changed["kind"], changed["description"],
               changed["code_location"], changed["revenue_per_unit"], changed["unit_label"],
               changed["event_count"], changed["created_at"]),
              (chat["id"], "Chat", "value", "talks", "src/chat.py:7", Decimal("0.25"), "call", 2,
               chat["created_at"]), "changed")
        ensure(changed["updated_at"] > chat["updated_at"], "updated_at")
        reply = client.send("PATCH", "%s/%d" % (PATH, chat["id"]), {"description": None})
        equal(reply.json["definition"]["description"], None, "taken out")
        equal(reply.json["definition"]["name"], "Chat", "what is not given stays")
        for hard in (False, True):
            before = client.good(PATH)
            server.restart(hard)
            client = server.client()
            equal(client.good(PATH), before, "after a restart")
        client.ingest([event("third", 1), event("chat", 1)])
        found = by_feature(client)
        equal((found["chat"]["id"], found["search"]["id"]), (chat["id"], rows[0]["id"]), "ids")
        equal(found["chat"]["event_count"], 3, "events")


def test_by_hand(context):
    with context.server() as server:
        client = server.client()
        client.ingest([event("seen", 1)])
        made = []
        for number, body in enumerate(({"feature_key": "later", "name": "Later", "kind": "cost"},
                                       {"name": "only a name"}, {"feature_key": "only-a-key"})):
            reply = client.send("POST", PATH, body)
            equal(reply.status, 201, "made")
            one = reply.json["definition"]
            made.append(one)
            equal((one["name"], one["feature_key"], one["kind"], one["event_count"],
                   one["total_cost"], one["last_seen"]),
                  ([("Later", "later", "cost"), ("only a name", "only a name", "outcome"),
                    ("only-a-key", "only-a-key", "outcome")][number] + (0, 0, None)), "made")
            equal(one["created_at"], one["updated_at"], "times")
        ids = {row["id"] for row in client.good(PATH)["definitions"]}
        equal(len(ids), 4, "ids differ")
        for body in ({"feature_key": "later"}, {"feature_key": "seen"}, {"name": "only a name"}):
            reply = client.send("POST", PATH, body)
            equal((reply.status, reply.json["code"]), (409, "conflict"), "twice: %s" % body)
        client.ingest([event("later", 4)])
        found = by_feature(client)
        equal((found["later"]["id"], found["later"]["name"], found["later"]["event_count"]),
              (made[0]["id"], "Later", 1), "its first event")
        for body in ("", "[]", "{}", '{"feature_key":""}', '{"feature_key":7}',
                     '{"name":"x","kind":"other"}', '{"name":"%s"}' % ("n" * 129),
                     '{"name":"x","description":"%s"}' % ("d" * 4097),
                     '{"name":"x","code_location":"%s"}' % ("d" * 513)):
            equal(client.send("POST", PATH, body).status, 400, body[:60])
        for body in ({"feature_key": "other"}, {"name": ""}, {"name": None}, {"kind": 1}):
            equal(client.send("PATCH", "%s/%d" % (PATH, made[0]["id"]), body).status, 400, body)
        for wrong in ("0", "999999", "x", "-1", str(2**64 + 2)):
            equal(client.send("PATCH", PATH + "/" + wrong, {"name": "x"}).status, 404, wrong)
            equal(client.send("DELETE", PATH + "/" + wrong).status, 404, wrong)
        equal(by_feature(client), found, "nothing changed")


def test_removed(context):
    """A removed definition stays away until the feature has another event."""
    with context.server() as server:
        client = server.client()
        client.ingest([event("a", 1), event("b", 2), event("b", 2)])
        reply = client.send("POST", PATH, {"feature_key": "hand", "description": "mine"})
        hand = reply.json["definition"]["id"]
        client.ingest([event("hand", 3)])
        found = by_feature(client)
        equal(client.send("PATCH", "%s/%d" % (PATH, found["b"]["id"]), {"name": "B"}).status, 200,
              "named")
        for key in ("a", "b", "hand"):
            path = "%s/%d" % (PATH, found[key]["id"])
            equal(client.send("DELETE", path).json, {"success": True}, "removed")
            for method in ("DELETE", "PATCH"):
                equal(client.send(method, path, {"name": "x"}).status, 404, "gone")
        equal(client.good(PATH), {"definitions": []}, "none is left")
        server.restart()
        client = server.client()
        equal(client.good(PATH), {"definitions": []}, "none is left after a restart")
        client.ingest([event("b", 1), event("hand", 1)])
        again = by_feature(client)
        equal(sorted(again), ["b", "hand"], "back again")
        equal((again["b"]["id"], again["b"]["name"], again["b"]["event_count"]),
              (found["b"]["id"], "b", 3), "as events make it")
        ensure(again["hand"]["id"] != hand and again["hand"]["description"] is None, "a new one")
        equal(client.send("PATCH", "%s/%d" % (PATH, again["b"]["id"]), {"kind": "cost"}).status,
              200, "changed")
        equal(client.send("POST", PATH, {"feature_key": "a"}).status, 201, "by hand again")
        equal(by_feature(client)["a"]["event_count"], 1, "with its events")
        for row in client.good(PATH)["definitions"]:
            equal(client.send("DELETE", "%s/%d" % (PATH, row["id"])).status, 200, "removed")
        equal(client.good(PATH), {"definitions": []}, "none is left")


def test_many(context):
    """Far more features than a front thread would group at once."""
    with context.server() as server:
        client = server.client()
        for first in range(0, 5000, 1000):
            client.ingest([event("feature-%04d" % i, i) for i in range(first, first + 1000)])
        rows = client.good(PATH)["definitions"]
        equal([row["total_cost"] for row in rows], list(range(4999, -1, -1)), "by cost")
