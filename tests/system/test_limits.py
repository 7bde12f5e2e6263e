"""Bounds of include/limits.h, read from there: what is exactly at one passes, what is one past is
refused with a clear error. And the table of all bounds in tests/README.md is whole and true."""

import json
import os
import re

from harness import ensure, equal, once, raw

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
INGEST = "/api/events/ingest"


def limits():
    """Name and value of every bound."""
    known = {"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}
    with open(os.path.join(ROOT, "include", "limits.h"), encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/", " ", file.read().replace("\\\n", " "), flags=re.S)
    waiting = re.findall(r"^#define ([A-Z0-9_]+) +(\S.*)$", text, flags=re.M)
    while waiting:  # some are named before they are defined
        name, value = waiting.pop(0)
        try:  # arithmetic of our own header
            known[name] = eval(re.sub(r"\((i64|u32|u64|usize|u8)\)", "", value), {}, known)
        except NameError:
            waiting.append((name, value))
    return {name: value for name, value in known.items() if name not in ("KIB", "MIB", "GIB")}


LIMITS = limits()


def event(**fields):
    return dict({"eventName": "chat", "customerReferenceId": "acme", "featureKey": "search"},
                **fields)


def fates(client, events):
    """For each event whether it was taken; who was not has an error that says why."""
    answer = client.send("POST", INGEST, {"events": events}).json
    refused = {error["index"]: error["error"] for error in answer["errors"]}
    equal(answer["duplicates"], 0, "duplicates")
    return [n not in refused for n in range(len(events))], refused


TEXTS = {"eventName": "EVENT_NAME_MAX", "customerReferenceId": "EVENT_CUSTOMER_MAX",
         "featureKey": "EVENT_FEATURE_MAX", "model": "EVENT_MODEL_MAX",
         "modelProvider": "EVENT_PROVIDER_MAX", "costType": "EVENT_COST_TYPE_MAX",
         "costUnit": "EVENT_COST_UNIT_MAX", "agentId": "EVENT_AGENT_MAX",
         "idempotencyKey": "EVENT_KEY_MAX", "traceId": "EVENT_TRACE_MAX"}


def test_texts_of_events(context):
    with context.server() as server:
        client = server.client()
        for member, name in TEXTS.items():
            most = LIMITS[name]
            two = "\u00e9" * (most // 2) + "x" * (most % 2)  # bytes count, not characters
            events = [event(**{member: text}) for text in ("a" * most, "a" * (most + 1), two,
                                                           two + "y")]
            taken, refused = fates(client, events)
            equal(taken, [True, False, True, False], member)
            ensure(str(most) in refused[1] and member in refused[1], refused[1])
        stored = client.good("/api/events?limit=50")["events"]
        equal(len(stored), 2 * len(TEXTS), "stored")
        ensure(any(row["customer_id"] == "a" * LIMITS["EVENT_CUSTOMER_MAX"] for row in stored),
               "a text at its bound comes back whole")


def nested(depth):
    return {} if depth <= 1 else {"a": nested(depth - 1)}


def padded(bytes_wanted):
    """An object of so many bytes, as this client writes it."""
    empty = len(json.dumps({"p": ""}))
    return {"p": "x" * (bytes_wanted - empty)}


def test_objects_of_events(context):
    with context.server() as server:
        client = server.client()
        most = LIMITS["EVENT_PROPERTIES_MAX"]
        depth = LIMITS["EVENT_PROPERTIES_DEPTH_MAX"]
        keys = LIMITS["EVENT_META_KEYS_MAX"]
        meta = LIMITS["EVENT_META_MAX"]
        events = [event(properties=padded(most)), event(properties=padded(most + 1)),
                  event(properties=nested(depth)), event(properties=nested(depth + 1)),
                  event(meta={"k%d" % n: "v" for n in range(keys)}),
                  event(meta={"k%d" % n: "v" for n in range(keys + 1)}),
                  event(meta=padded(meta - 16)), event(meta=padded(meta + 16))]
        taken, _ = fates(client, events)
        equal(taken, [True, False] * 4, "objects")


def test_numbers_of_events(context):
    with context.server() as server:
        client = server.client()
        tokens = LIMITS["EVENT_TOKENS_MAX"]
        duration = LIMITS["EVENT_DURATION_MAX"]
        money = LIMITS["EVENT_MONEY_MAX"] // LIMITS["PICO_PER_USD"]
        usage = LIMITS["EVENT_USAGE_MAX"] // LIMITS["MICRO_PER_UNIT"]
        text = []
        for member, most, more in (("inputTokens", tokens, tokens + 1),
                                   ("outputTokens", tokens, tokens + 1),
                                   ("durationMs", duration, duration + 1),
                                   ("costAmount", money, "%d.000000000001" % money),
                                   ("costAmount", -money, "-%d.000000000001" % money),
                                   ("revenueAmount", money, "%d.000000000001" % money),
                                   ("usageUnits", usage, "%d.000001" % usage)):
            for value in (most, more):
                one = json.dumps(event())[:-1]
                text.append('%s,"%s":%s}' % (one, member, value))
        answer = client.send("POST", INGEST, '{"events":[%s]}' % ",".join(text)).json
        equal([error["index"] for error in answer["errors"]], list(range(1, len(text), 2)),
              "numbers (%r)" % answer["errors"])


def test_requests(context):
    with context.server() as server:
        def get(target="/healthz", headers=()):
            head = "\r\n".join(["GET %s HTTP/1.1" % target, "Host: x", "Connection: close",
                                *headers, "", ""])
            return int(raw(server.port, head.encode(), seconds=5)[9:12]), len(head)

        most = LIMITS["HTTP_HEADERS_MAX"]
        equal(get(headers=["A: b"] * (most - 2))[0], 200, "header fields")
        equal(get(headers=["A: b"] * (most - 1))[0], 431, "one too many")
        most = LIMITS["HTTP_TARGET_BYTES_MAX"]
        equal(get("/" + "a" * (most - 1))[0], 404, "target")
        equal(get("/" + "a" * most)[0], 414, "target, one byte more")
        most = LIMITS["HTTP_HEAD_BYTES_MAX"]
        room = most - get(headers=["A: "])[1]
        equal(get(headers=["A: " + "a" * room]), (200, most), "head")
        equal(get(headers=["A: " + "a" * (room + 1)]), (431, most + 1), "head, one byte more")
        most = LIMITS["HTTP_QUERY_PARAMS_MAX"]
        equal(get("/healthz?" + "&".join("a%d=b" % n for n in range(most)))[0], 200, "parameters")
        equal(get("/healthz?" + "&".join("a%d=b" % n for n in range(most + 1)))[0], 400, "one more")
        # A refused body up to the bound is read over, so that the connection lives.
        most = LIMITS["HTTP_DISCARD_BYTES_MAX"]
        for bytes_sent, answers in ((most, 2), (most + 1, 1)):
            data = ("POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
                    % bytes_sent).encode() + b"x" * bytes_sent
            data += b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            equal(raw(server.port, data, seconds=5).count(b"HTTP/1.1 "), answers, "discarding")


def test_bodies(context):
    with context.server() as server:
        client = server.client()
        most = LIMITS["INGEST_EVENTS_MAX"]
        equal(client.ingest([event()] * most)["accepted"], most, "events")
        reply = client.send("POST", INGEST, {"events": [event()] * (most + 1)})
        equal((reply.status, reply.json["code"]), (400, "invalid_request"), "one event too many")
        for path, name, good in ((INGEST, "HTTP_BODY_INGEST_MAX", 200),
                                 ("/api/v1/client/events", "HTTP_BODY_MANAGE_MAX", 201),
                                 ("/api/auth/login", "HTTP_BODY_PUBLIC_MAX", 401)):
            body = json.dumps({200: {"events": [event()]}, 201: event(),
                               401: {"email": "a@example.com", "password": "guess"}}[good]).encode()
            exact = body + b" " * (LIMITS[name] - len(body))
            equal(server.client().send("POST", path, exact).status, good, "%s at its bound" % path)
            head = ("POST %s HTTP/1.1\r\nHost: x\r\nObserve-Key: %s\r\nContent-Length: %d\r\n\r\n"
                    % (path, server.key, LIMITS[name] + 1))
            equal(raw(server.port, head.encode(), seconds=5)[9:12], b"413", "%s past it" % path)
        most = LIMITS["JSON_DEPTH_MAX"]
        for depth, status in ((most - 3, 200), (most + 1, 400)):
            deep = '{"events":[%s],"other":%s}' % (json.dumps(event()), "[" * depth + "]" * depth)
            equal(client.send("POST", INGEST, deep).status, status, "depth %d" % depth)


@once
def test_settings(context):
    """The most a setting may be, and one more."""
    counts = (("--connections-max", "CONNECTIONS_SETTING_MAX"), ("--limit-auth", "LIMIT_COUNT_MAX"),
              ("--retention-days", "RETENTION_DAYS_MAX"),
              ("--front-threads", "FRONT_THREADS_MAX"), ("--account-series-max", "SERIES_MAX"),
              ("--account-customers-max", "DIM_VALUES_MAX"),
              ("--account-features-max", "DIM_VALUES_MAX"),
              ("--account-models-max", "DIM_VALUES_MAX"), ("--account-traces-max", "TRACES_MAX"))
    most = LIMITS["CONFIG_PATH_BYTES_MAX"] - 1
    cases = [(flag, LIMITS[name], LIMITS[name] + 1, str(LIMITS[name])) for flag, name in counts]
    cases.append(("--data-dir", "d" * most, "d" * (most + 1), str(most)))
    for flag, good, bad, text in cases:
        # The value of a later flag ends the start; the first bad one is what is complained of.
        done = context.tool("margind", flag, good, "--log-level", "nonsense")
        ensure(done.returncode == 2 and "--log-level" in done.stderr and flag not in done.stderr,
               "%s at its bound: %s" % (flag, done.stderr))
        done = context.tool("margind", flag, bad, "--log-level", "nonsense")
        ensure(done.returncode == 2 and flag in done.stderr and text in done.stderr,
               "%s past it: %s" % (flag, done.stderr))


def test_pages(context):
    with context.server() as server:
        client = server.client()
        most = LIMITS["PAGE_EVENTS_MAX"]
        client.ingest([event()] * (most + 1))
        page = client.good("/api/events?limit=%d" % (10 * most))
        equal((len(page["events"]), page["total"]), (most, most + 1), "a page")


# --- the table ----------------------------------------------------------------------------------

ROW = re.compile(r"^\| `([A-Z0-9_]+)` \| (.+) \|$", flags=re.M)
PLACE = re.compile(r"`([a-z_/.]+?)(?::([a-z0-9_]+))?`")


@once
def test_table(context):
    """Each bound has a row, each row a bound, and each test that a row names exists."""
    with open(os.path.join(ROOT, "tests", "README.md"), encoding="utf-8") as file:
        rows = dict(ROW.findall(file.read()))
    equal(sorted(set(LIMITS) - set(rows)), [], "bounds without a row")
    equal(sorted(set(rows) - set(LIMITS)), [], "rows without a bound")
    for name, how in rows.items():
        places = PLACE.findall(how)
        ensure(places or how.startswith("not reached: "), "%s: no test and no reason" % name)
        for path, test in places:
            path = os.path.join(ROOT, "tests", path)
            ensure(os.path.exists(path), "%s: no %s" % (name, path))
            with open(path, encoding="utf-8") as file:
                ensure(not test or test in file.read(), "%s: no %s in %s" % (name, test, path))
