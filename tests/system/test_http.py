"""What arrives as HTTP: malformed, oversized, compressed, chunked, pipelined."""

import gzip
import json
import re
import socket
import zlib

from harness import ensure, equal, raw

GOOD = {"eventName": "chat", "customerReferenceId": "acme", "featureKey": "search"}
BODY = json.dumps({"events": [GOOD]}).encode()
INGEST = "/api/events/ingest"


def head(server, *lines, path=INGEST, method="POST"):
    fields = ["%s %s HTTP/1.1" % (method, path), "Host: x", "Observe-Key: " + server.key]
    return "\r\n".join(fields + list(lines) + ["", ""]).encode()


def statuses(data):
    return [int(s) for s in re.findall(rb"HTTP/1\.1 (\d\d\d)", data)]


def total(server):
    return server.client().good("/api/events?limit=1")["total"]


def test_malformed_bodies(context):
    with context.server() as server:
        client = server.client()
        cases = [b"{", b"", b"{\"events\":[", b"{\"events\":[{}}", b"[1,2", b"\xff\xfe{}",
                 b"{\"events\":[{\"eventName\":\"\xff\"}]}", b"{\"events\":[{\"a\":01}]}",
                 b"{\"events\":[{\"a\":\"\n\"}]}", b"{\"events\":[{}],}", BODY + b"x",
                 b"\xef\xbb\xbf" + BODY, b"{\"events\":" + b"[" * 100 + b"]" * 100 + b"}",
                 b"{\"events\":[{\"a\":NaN}]}", b"{'events':[]}", b"nul"]
        for body in cases:
            reply = client.send("POST", INGEST, body)
            equal((reply.status, reply.json["code"]), (400, "invalid_request"), repr(body))
            ensure(body == b"" or re.search(r" at byte \d+", reply.json["error"]),
                   "no position in %r for %r" % (reply.json["error"], body))
        reply = client.send("POST", INGEST, b'{"events":[{"a":1},{"b":tru}]}')
        position = int(re.search(r" at byte (\d+)", reply.json["error"])[1])
        ensure(19 <= position <= 28, "position %d" % position)
        equal(total(server), 0, "stored")


def test_too_large(context):
    with context.server() as server:
        big = b'{"events":[{"eventName":"' + b"x" * (16 << 20) + b'"}]}'
        data = raw(server.port, head(server, "Content-Length: %d" % len(big)) + b"{")
        equal(statuses(data), [413], "ingest past 16 MiB")
        ensure(b'"too_large"' in data, "code")
        data = raw(server.port, head(server, "Content-Length: %d" % (3 << 20),
                                     path="/api/v1/client/events"))
        equal(statuses(data), [413], "client event past 2 MiB")
        padded = BODY[:-1] + b',"pad":"' + b"y" * (15 << 20) + b'"}'
        reply = server.client().send("POST", INGEST, padded)
        equal((reply.status, reply.json["accepted"]), (200, 1), "15 MiB")
        bomb = gzip.compress(b'{"events":[{"eventName":"' + b"x" * (40 << 20) + b'"}]}')
        reply = server.client().send("POST", INGEST, bomb, headers={"Content-Encoding": "gzip"})
        equal(reply.status, 413, "40 MiB in %d bytes" % len(bomb))
        equal(total(server), 1, "stored")


def test_encodings(context):
    with context.server() as server:
        client = server.client()
        packed = gzip.compress(json.dumps({"events": [GOOD] * 1000}).encode())
        reply = client.send("POST", INGEST, packed, headers={"Content-Encoding": "gzip"})
        equal((reply.status, reply.json["accepted"]), (200, 1000), "gzip")
        reply = client.send("POST", INGEST, packed[:-9], headers={"Content-Encoding": "gzip"})
        equal(reply.status, 400, "cut gzip")
        client = server.client()
        reply = client.send("POST", INGEST, b"not gzip", headers={"Content-Encoding": "gzip"})
        equal(reply.status, 400, "no gzip")
        for name in ("br", "deflate", "compress"):
            reply = server.client().send("POST", INGEST, zlib.compress(BODY),
                                         headers={"Content-Encoding": name})
            equal((reply.status, reply.json["code"]), (415, "unsupported"), name)
        equal(total(server), 1000, "stored")


def test_chunked_and_expect(context):
    with context.server() as server:
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(BODY[i:i + 7]), BODY[i:i + 7])
                          for i in range(0, len(BODY), 7)) + b"0\r\n\r\n"
        lines = ("Transfer-Encoding: chunked", "Connection: close")
        data = raw(server.port, head(server, *lines) + chunks)
        equal(statuses(data), [200], "chunked")
        ensure(b'"accepted":1' in data, "accepted")
        expecting = head(server, "Content-Length: %d" % len(BODY), "Expect: 100-continue",
                         "Connection: close")
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(expecting)
            equal(statuses(connection.recv(4096)), [100], "expect")
            connection.sendall(BODY)
            equal(statuses(connection.recv(65536)), [200], "after expect")
        refused = expecting.replace(b"100-continue", b"a-miracle")
        equal(statuses(raw(server.port, refused)), [417], "unknown expectation")
        for bad in (b"zz\r\n", b"-5\r\n", b"5\r\nabcdefgh\r\n"):
            equal(statuses(raw(server.port, head(server, *lines) + bad)), [400], repr(bad))
        equal(total(server), 2, "stored")


def test_refused_heads(context):
    with context.server() as server:
        length = "Content-Length: %d" % len(BODY)
        cases = {
            "both lengths": head(server, length, "Transfer-Encoding: chunked") + BODY,
            "two lengths": head(server, length, "Content-Length: 1") + BODY,
            "negative length": head(server, "Content-Length: -1") + BODY,
            "blank before colon": head(server, "X-A : b", length) + BODY,
            "folded line": head(server, "X-A: b\r\n c", length) + BODY,
            "bare line feed": head(server, length).replace(b"\r\n", b"\n") + BODY,
            "no host": head(server, length).replace(b"Host: x\r\n", b"") + BODY,
            "garbage": b"\x00\x01\x02 nonsense\r\n\r\n",
        }
        for what, data in cases.items():
            got = raw(server.port, data, seconds=5)
            equal(statuses(got), [400], "%s (%r)" % (what, got[:100]))
        equal(total(server), 0, "stored")


def test_pipelining(context):
    with context.server() as server:
        request = head(server, "Content-Length: %d" % len(BODY)) + BODY
        last = head(server, "Content-Length: %d" % len(BODY), "Connection: close") + BODY
        equal(statuses(raw(server.port, request * 20 + last)), [200] * 21, "pipelined")
        equal(total(server), 21, "stored")


def test_unknown_paths(context):
    with context.server() as server:
        client = server.client()
        for path in ("/", "/api", "/api/nothing", "/api/events/1/2", "/api/v2/client/events"):
            reply = client.get(path)
            equal((reply.status, reply.json["code"]), (404, "not_found"), path)
        reply = client.send("DELETE", "/api/events")
        equal((reply.status, reply.json["code"]), (405, "method_not_allowed"), "DELETE")
        ensure("GET" in reply.headers["Allow"], "Allow: %r" % reply.headers["Allow"])
        reply = client.get("/api/events/ingest")
        ensure(reply.status in (404, 405), "GET ingest")
        for path in ("/api/events/trace/%ff", "/api/events/trace/a%C3", "/api/events/%ED%A0%80",
                     "/api/events?customer_id=%ff", "/api/events/traces?%C0%AF=1"):
            reply = client.get(path, odd=True)
            equal((reply.status, reply.json["code"]), (400, "invalid_request"), path)
        equal(client.good("/api/events/trace/%C3%A4")["trace_id"], "\u00e4", "UTF-8 in a path")
        reply = client.send("HEAD", "/healthz")
        equal((reply.status, reply.body), (200, b""), "HEAD")


def test_metrics(context):
    with context.server() as server:
        client = server.client()
        client.ingest([GOOD, dict(GOOD, idempotencyKey="a"), dict(GOOD, idempotencyKey="a"), {}])
        reply = client.get("/metrics")
        ensure(reply.headers["Content-Type"].startswith("text/plain"), "content type")
        text = reply.body.decode()
        values = {}
        for line in text.splitlines():
            if line.startswith("#"):
                ensure(re.fullmatch(r"# (HELP|TYPE) margind_[a-z_]+ .+", line), line)
            else:
                name, value = line.split(" ")
                ensure(name.startswith("margind_") and name not in values, line)
                base = re.sub(r"(_bucket\{.*\}|_sum|_count)$", "", name)
                ensure("# HELP %s " % base in text and "# TYPE %s " % base in text, line)
                values[name] = float(value)
        for name, value in (("events_accepted", 2), ("events_duplicate", 1), ("events_invalid", 1),
                            ("events_conflict", 0)):
            equal(values["margind_%s_total" % name], value, name)
        ensure(values["margind_commits_total"] >= 1, "commits")
        ensure(values["margind_log_events"] == 2, "log events")
        ensure(values["margind_resident_bytes"] > 1e6, "memory")
        ensure(values["margind_connections"] >= 1, "connections")
        series = [v for n, v in values.items() if "ingest_duration_seconds_bucket" in n]
        equal((series[-1], sorted(series)), (1, series), "latency of the one ingest request")
        equal(values["margind_ingest_duration_seconds_count"], 1, "count")
