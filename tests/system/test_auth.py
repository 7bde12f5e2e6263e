"""Credentials and scopes."""

import re
import socket

from harness import ensure, equal, raw

GOOD = {"eventName": "chat", "customerReferenceId": "acme", "featureKey": "search"}
WRONG = "obs_" + "0" * 48
READS = ["/api/events", "/events", "/api/events/1", "/api/events/by-feature", "/events/by-customer",
         "/api/events/by-model", "/api/events/by-agent", "/api/events/by-cost-type",
         "/api/events/traces", "/api/events/trace/x"]


def ask(client, path, **headers):
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.get(path, key=False, headers=fields)


def test_credentials(context):
    with context.server() as server:
        client = server.client()
        key = server.key
        ensure(re.fullmatch(r"obs_[0-9a-f]{48}", key), "form of the first key")
        for name in ("Observe-Key", "X-Tanso-Key", "X-Observe-Key"):
            equal(ask(client, "/api/events", **{name: key}).status, 200, name)
        for scheme in ("Bearer ", "bearer ", "BEARER "):
            equal(ask(client, "/api/events", Authorization=scheme + key).status, 200, scheme)
        for path in READS:
            for headers in ({}, {"Observe_Key": WRONG}, {"Observe_Key": "x"}, {"Observe_Key": ""},
                            {"Authorization": "Bearer " + WRONG}, {"Authorization": "Basic " + key},
                            {"Authorization": "Bearer session-token"},
                            {"Observe_Key": key + "0"}, {"Observe_Key": key[:-1]}):
                reply = ask(client, path, **headers)
                equal((reply.status, reply.json["code"]), (401, "unauthorized"),
                      "%s with %r" % (path, headers))
        # The first credential found decides.
        equal(ask(client, "/api/events", Observe_Key=WRONG, Authorization="Bearer " + key).status,
              401, "bad first header")
        equal(ask(client, "/api/events", Observe_Key=key, Authorization="Bearer x").status, 200,
              "good first header")
        equal(ask(client, "/api/events", X_Tanso_Key=WRONG, X_Observe_Key=key).status, 401,
              "order of headers")
        reply = client.send("POST", "/api/events/ingest", {"events": [GOOD]}, key=False)
        equal((reply.status, reply.json["code"]), (401, "unauthorized"), "ingest without a key")
        equal(client.good("/api/events")["total"], 0, "nothing was stored")
        for path in ("/healthz", "/readyz", "/metrics", "/api/pricing/models", "/pricing/models"):
            equal(client.get(path, key=False).status, 200, path)


def test_pipelined_credentials(context):
    """What was found out about one request says nothing about the next on the connection."""
    with context.server() as server:
        def request(*lines):
            text = "\r\n".join(("GET /api/events HTTP/1.1", "Host: x") + lines)
            return text.encode() + b"\r\n\r\n"
        good = request("Observe-Key: " + server.key)
        bad = request("Observe-Key: " + WRONG)
        last = request("Connection: close")
        got = raw(server.port, (good + request() + bad) * 20 + last)
        equal([int(status) for status in re.findall(rb"HTTP/1.1 (\d+)", got)],
              [200, 401, 401] * 20 + [401], "statuses")


def test_credentials_given_twice(context):
    with context.server() as server:
        for name, good in (("Authorization", "Bearer " + server.key), ("Observe-Key", server.key),
                           ("X-Observe-Key", server.key)):
            for first, last in ((good, good), (good, "x"), ("x", good), (good, "Basic x")):
                lines = ("GET /api/events HTTP/1.1", "Host: x", "Connection: close",
                         "%s: %s" % (name, first), "%s: %s" % (name, last), "", "")
                got = raw(server.port, "\r\n".join(lines).encode())
                equal(got[9:12], b"401", "%s: %s, %s" % (name, first, last))


def make_key(context, server, name, scopes):
    result = context.tool("marginctl", "key", "create", "--data-dir", server.dir, "--name", name,
                          "--scopes", scopes)
    equal(result.returncode, 0, "marginctl key create (%s)" % result.stderr)
    return re.search(r"obs_[0-9a-f]{48}", result.stdout)[0]


def test_scopes(context):
    with context.server() as server:
        server.client().ingest([GOOD])
        reader = server.client(make_key(context, server, "reader", "events.read"))
        writer = server.client(make_key(context, server, "writer", "events.write"))
        other = server.client(make_key(context, server, "other", "models.read,billing.read"))
        admin = server.client(make_key(context, server, "admin", "admin"))
        for client, may_write, may_read in ((reader, 0, 1), (writer, 1, 0), (other, 0, 0),
                                            (admin, 1, 1)):
            wanted = 200 if may_write else 403
            reply = client.send("POST", "/api/events/ingest", {"events": [GOOD]})
            equal(reply.status, wanted, "ingest")
            if not may_write:
                equal(reply.json["code"], "forbidden", "code")
            reply = client.send("POST", "/api/v1/client/events", {"eventName": "x"})
            equal(reply.status, 201 if may_write else 403, "client event")
            if not may_write:
                equal(reply.json["error"]["code"], "forbidden", "code")
            for path in READS:
                equal(client.get(path).status, 200 if may_read else 403, path)


def test_revoked_key(context):
    with context.server() as server:
        text = make_key(context, server, "short-lived", "events.read")
        client = server.client(text)
        equal(client.get("/api/events").status, 200, "before")
        listing = context.tool("marginctl", "key", "list", "--data-dir", server.dir).stdout
        line = next(row for row in listing.splitlines() if "short-lived" in row)
        number = re.search(r"\d+", line)[0]
        done = context.tool("marginctl", "key", "revoke", "--data-dir", server.dir, number)
        equal(done.returncode, 0, "marginctl key revoke (%s)" % done.stderr)
        equal(client.get("/api/events").status, 401, "after")
        equal(server.client().get("/api/events").status, 200, "the other key")


def test_strangers_take_no_memory(context):
    """A large body is not waited for before its key is known: strangers who announce many cannot
    keep others from sending theirs."""
    with context.server() as server:
        strangers = []
        try:
            for path in ["/api/events/ingest"] * 150 + ["/api/v1/client/events"]:
                stranger = socket.create_connection(("127.0.0.1", server.port), timeout=10)
                strangers.append(stranger)
                bytes = (1 if "client" in path else 16) << 20
                stranger.sendall(("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n{"
                                  % (path, bytes)).encode())
            body = {"pad": "x" * (14 << 20),
                    "events": [{"eventName": "e", "customerReferenceId": "c", "featureKey": "f"}]}
            reply = server.client().send("POST", "/api/events/ingest", body)
            equal((reply.status, reply.json["accepted"]), (200, 1), "a large body beside them")
            for number, stranger in enumerate(strangers):
                answer = stranger.recv(4096)
                ensure(answer.startswith(b"HTTP/1.1 401 "), "%d: %r" % (number, answer))
            ensure(b'"success":false' in answer, "the client endpoint's envelope: %r" % answer)
        finally:
            for stranger in strangers:
                stranger.close()
        for path in ("/api/events/ingest", "/api/v1/client/events"):
            reply = server.client().send("POST", path, b"a bomb", {"Content-Encoding": "gzip"},
                                         key=False)
            equal(reply.status, 401, "a compressed body without a key is not expanded")
