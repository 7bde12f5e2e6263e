"""Requests and responses of model calls that are kept with their events, and the setting for it."""

import json

from harness import ensure, equal

LIMIT = 256 * 1024


def event(**more):
    return dict({"eventName": "e", "customerReferenceId": "c", "featureKey": "f",
                 "costAmount": 1}, **more)


def newest(client):
    """The newest event's own page."""
    rows = client.good("/api/events?limit=200")["events"]
    return client.good("/api/events/%d" % max(row["id"] for row in rows))


def set_capture(client, on):
    reply = client.send("PATCH", "/api/settings", {"body_capture": on, "unknown": []})
    equal((reply.status, reply.json["body_capture"]), (200, on), "setting")


def test_setting(context):
    with context.server() as server:
        client = server.client()
        equal(client.good("/api/settings"),
              {"account": {"id": 1, "name": "default", "plan": "unlimited"},
               "body_capture": False}, "at first")
        equal(client.send("PATCH", "/api/settings", {}).json["body_capture"], False, "nothing set")
        for bad in ({"body_capture": 1}, {"body_capture": "on"}, {"body_capture": None}, [], 5):
            equal(client.send("PATCH", "/api/settings", bad).status, 400, "refused %r" % (bad,))
        set_capture(client, True)
        server.restart()
        client = server.client()
        equal(client.good("/api/settings")["body_capture"], True, "after a restart")
        done = context.tool("marginctl", "account", "set", "body-capture", "off", "--account", "1",
                            "--data-dir", server.dir)
        equal(done.returncode, 0, "marginctl: %s" % done.stderr)
        equal(client.good("/api/settings")["body_capture"], False, "by marginctl")
        narrow = context.tool("marginctl", "key", "create", "--name", "narrow", "--scopes",
                              "events.write", "--data-dir", server.dir)
        other = server.client(key=narrow.stdout.split()[-1])
        equal(other.send("PATCH", "/api/settings", {"body_capture": True}).status, 403, "scope")
        equal(other.good("/api/settings")["body_capture"], False, "reading is for all")


def test_kept(context):
    with context.server() as server:
        client = server.client()
        both = event(requestBody={"messages": [{"role": "user", "content": "h\u00e9 \"x\""}]},
                     responseBody="plain \u2603 text", properties={"k": [1]})
        client.ingest([both])
        one = newest(client)
        equal((one["request_body"], one["response_body"]), (None, None), "off at first")
        set_capture(client, True)
        client.ingest([both, event(responseBody=5), event()])
        one = newest(client)
        equal((one["request_body"], one["response_body"]), (None, None), "an event without")
        pages = [client.good("/api/events/%d" % (one["id"] - back)) for back in (2, 1)]
        equal([(page["request_body"], page["response_body"]) for page in pages],
              [(both["requestBody"], both["responseBody"]), (None, 5)], "as sent")
        equal(pages[0]["properties"], {"k": [1]}, "properties")
        rows = client.good("/api/events?limit=10")["events"]
        ensure(all("request_body" not in row for row in rows), "not in lists")
        client.ingest([event(requestBody="x" * LIMIT, responseBody={"a": "y" * (LIMIT - 9)}),
                       event(requestBody="x" * (LIMIT + 1), responseBody="short"),
                       event(responseBody={"a": "y" * LIMIT}, properties={"mine": True})])
        last = newest(client)["id"]
        pages = [client.good("/api/events/%d" % (last - back)) for back in (2, 1, 0)]
        equal((len(pages[0]["request_body"]), len(pages[0]["response_body"]["a"]),
               pages[0]["properties"]), (LIMIT, LIMIT - 9, None), "as long as may be")
        equal((pages[1]["request_body"], pages[1]["response_body"], pages[1]["properties"]),
              (None, "short", {"body_dropped": "true"}), "too long a request")
        equal((pages[2]["request_body"], pages[2]["response_body"], pages[2]["properties"]),
              (None, None, {"mine": True, "body_dropped": "true"}), "too long a response")
        for hard in (False, True):
            server.restart(hard)
            client = server.client()
            equal([client.good("/api/events/%d" % page["id"]) for page in pages], pages,
                  "after a restart")
        reply = client.send("POST", "/api/events/ingest",
                            {"events": [dict(both, idempotencyKey="k"), event()]})
        equal(reply.json["accepted"], 2, "with a key")
        set_capture(client, False)
        again = client.send("POST", "/api/events/ingest", {"events": [dict(both,
                                                                          idempotencyKey="k")]})
        equal((again.json["duplicates"], again.json["conflicts"]), (1, 0), "a repeat is one")
        client.ingest([both])
        equal(newest(client)["request_body"], None, "off again")


def test_many(context):
    """A whole body of them: as much as a request may hold, then a merge's worth of requests."""
    with context.server() as server:
        client = server.client()
        set_capture(client, True)
        size = 14 * 1024 * 1024 // 1000 // 2
        events = [event(requestBody="%06d" % i + "r" * (size - 6), responseBody=["s" * (size - 4)],
                        meta={"n": str(i)}) for i in range(1000)]
        body = json.dumps({"events": events})
        ensure(len(body) < 16 * 1024 * 1024, "fits")
        equal(client.ingest(events)["accepted"], 1000, "accepted")
        last = newest(client)["id"]
        for back in (0, 1, 500, 999):
            page = client.good("/api/events/%d" % (last - back))
            sent = events[999 - back]
            equal((page["request_body"], page["response_body"], page["meta"]),
                  (sent["requestBody"], sent["responseBody"], sent["meta"]), "row %d" % back)
        server.verify()
