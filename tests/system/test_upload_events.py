"""Events as rows of a text: the same events, the same figures and the same reasons as in JSON."""

import csv
import io
import json
import random

from harness import ensure, equal

PATH = "/api/data/upload/events-csv"
COLUMNS = ["eventName", "customerReferenceId", "featureKey", "timestamp", "costAmount", "costUnit",
           "revenueAmount", "usageUnits", "model", "modelProvider", "inputTokens", "outputTokens",
           "cachedInputTokens", "properties", "meta", "idempotencyKey", "traceId", "durationMs",
           "costType", "agentId"]
COUNTED = ("event_count", "total_cost", "total_revenue", "total_usage", "last_seen")


def text_of(events, columns=None, **options):
    out = io.StringIO()
    writer = csv.writer(out, **options)
    columns = columns or COLUMNS
    writer.writerow(columns)
    for event in events:
        writer.writerow([json.dumps(event[name]) if isinstance(event.get(name), dict)
                         else event.get(name, "") for name in columns])
    return out.getvalue()


def made_up(seed, count):
    pick = random.Random(seed)
    events = []
    for i in range(count):
        event = {"eventName": pick.choice(["chat", "embed, \"fast\"", "line\nbreak"]),
                 "customerReferenceId": pick.choice(["acme", "b\u00e9, co", "_internal-x"]),
                 "featureKey": pick.choice(["support", "search"]),
                 "timestamp": "2026-05-%02dT10:00:%02dZ" % (1 + i % 28, i % 60)}
        if pick.random() < 0.5:
            event["costAmount"] = pick.choice(["0.0000705", "12.5", "1e-7", "-3", "0"])
        else:
            event.update(model="gpt-4o-mini", inputTokens=pick.randrange(5000),
                         outputTokens=pick.randrange(900))
        if pick.random() < 0.3:
            event["revenueAmount"] = "0.25"
        if pick.random() < 0.2:
            event["meta"] = {"k": "v\"%d" % i}
        if pick.random() < 0.2:
            event["properties"] = {"deep": [1, {"x": "a,b"}]}
        if pick.random() < 0.3:
            event["idempotencyKey"] = "key-%d" % pick.randrange(count // 5)
        events.append(event)
    return events


def as_json(event):
    return {name: float(value) if name.endswith("Amount") else value
            for name, value in event.items()}


def upload(client, text, status=200):
    reply = client.send("POST", PATH, {"raw_csv": text})
    equal(reply.status, status, "%s" % reply.body[:200])
    return reply.json


def figures(client):
    return ([{name: row[name] for name in ("feature_key",) + COUNTED}
             for row in client.good("/api/events/by-feature?days=all")],
            [{name: row[name] for name in ("customer_id", "event_count", "total_cost",
                                           "total_revenue", "last_seen")}
             for row in client.good("/api/events/by-customer?days=all")])


def test_same_as_json(context):
    events = made_up(7, 2500)
    with context.server() as server, context.server() as other:
        client, plain = server.client(), other.client()
        answer = upload(client, text_of(events, lineterminator="\r\n"))
        wanted = {"accepted": 0, "rejected": 0, "duplicates": 0, "conflicts": 0}
        for first in range(0, len(events), 1000):
            part = plain.ingest([as_json(event) for event in events[first:first + 1000]])
            wanted = {name: wanted[name] + part[name] for name in wanted}
        equal({name: answer[name] for name in wanted}, wanted, "answer")
        equal(answer["errors"], [], "errors")
        ensure(wanted["duplicates"] > 100, "some keys are known")
        equal(figures(client), figures(plain), "figures")
        rows, others = [one.good("/api/events?limit=200&sort_by=timestamp")["events"]
                        for one in (client, plain)]
        for row, twin in zip(rows, others):
            for name in ("created_at",):
                row.pop(name), twin.pop(name)
            equal(row, twin, "event")
        again = upload(client, text_of([event for event in events if "idempotencyKey" in event]))
        equal(again["accepted"], 0, "known keys")
        server.verify()
        server.restart(hard=True)
        equal(figures(server.client()), figures(plain), "after a crash")


def test_errors(context):
    with context.server() as server:
        client = server.client()
        good = {"eventName": "e", "customerReferenceId": "c", "featureKey": "f", "costAmount": "1"}
        events = [dict(good) for i in range(2100)]
        events[3]["costAmount"] = "1,5"
        events[1500].pop("featureKey")
        events[2099]["inputTokens"] = "5.5"
        text = text_of(events, ["eventName", "customerReferenceId", "featureKey", "costAmount",
                                "inputTokens"])
        lines = text.split("\r\n")
        lines[1 + 2000] += ",more"
        answer = upload(client, "\r\n".join(lines))
        equal((answer["accepted"], answer["rejected"]), (2096, 4), "counts")
        equal([error["index"] for error in answer["errors"]], [3, 1500, 2000, 2099], "rows")
        ensure("costAmount" in answer["errors"][0]["error"], "a reason")
        ensure("featureKey" in answer["errors"][1]["error"], "a missing member")
        ensure("columns" in answer["errors"][2]["error"], "columns")
        equal(client.good("/api/events?limit=1")["total"], 2096, "stored")


def test_refused(context):
    with context.server() as server:
        client = server.client()
        head = "eventName,customerReferenceId,featureKey\n"
        for body in (b"", b"{}", b"[]", b'{"raw_csv":""}', b'{"raw_csv":7}', b'{"raw_csv":"a'):
            equal(client.send("POST", PATH, body).status, 400, "refused %r" % body)
        for text in ("name,cost\na,1\n", head, head + 'a,b,"c\n', head + 'a,b,c"d\n',
                     head + "a,b,c\n" * 10001):
            equal(upload(client, text, 400)["code"], "invalid_request", "refused")
        ensure("line 2" in upload(client, head + 'a,b,"c\n', 400)["error"], "where")
        equal(client.good("/api/events?limit=1")["total"], 0, "nothing stored")
        equal(upload(client, head + "a,b,c\n" * 10000)["accepted"], 10000, "as many as may be")
        server.verify()
