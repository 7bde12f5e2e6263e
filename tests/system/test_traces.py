"""Traces: summaries, spans in time order, and the tree with its odd cases."""

import oracle
from harness import equal


def span(number, second, **members):
    event = {"eventName": "step-%d" % number, "customerReferenceId": "c", "featureKey": "f",
             "timestamp": "2026-05-01T00:00:%02dZ" % second, "traceId": "t"}
    event.update(members)
    return event


def shape(nodes):
    return [(n["span_id"], shape(n["children"])) for n in nodes]


def tree_of(context, spans):
    with context.server() as server:
        client = server.client()
        client.ingest(spans)
        got = client.good("/api/events/trace/t?tree=1")
        equal(len(got["spans"]), len(spans), "spans")
        return got


def test_summary(context):
    with context.server() as server:
        client = server.client()
        book = oracle.Book()
        sent = [span(1, 5, durationMs=10, costAmount=1, costType="b", spanId="x"),
                span(2, 3, durationMs=700, costAmount=0.25, revenueAmount=3, costType="a"),
                span(3, 9, model="gpt-4o-mini", inputTokens=150, outputTokens=80),
                span(4, 9, costType="z"), span(5, 9, costType="y"), span(6, 9, costType="x"),
                dict(span(7, 30), traceId="later"), dict(span(8, 1), traceId="earlier")]
        for event in sent:  # one by one, so that ids follow the order sent
            client.ingest([event])
            book.add(event).id = len(book.events)
        equal(oracle.difference(book.traces(), client.good("/api/events/traces")["traces"]), None,
              "traces")
        page = client.good("/events/traces?limit=1&offset=1")["traces"]
        equal([t["trace_id"] for t in page], ["t"], "page")
        spans = client.good("/api/events/trace/t")["spans"]
        equal([s["event_name"] for s in spans],
              ["step-2", "step-1", "step-3", "step-4", "step-5", "step-6"], "span order")
        server.restart()
        client = server.client()
        equal(oracle.difference(book.traces(), client.good("/api/events/traces")["traces"]), None,
              "traces after restart")


def test_tree(context):
    got = tree_of(context, [
        span(1, 1, spanId="root"), span(2, 2, spanId="a", parentSpanId="root"),
        span(3, 3, spanId="b", parentSpanId="root"), span(4, 4, spanId="a1", parentSpanId="a"),
        span(5, 5, spanId="lost", parentSpanId="nowhere"),
        span(6, 6, spanId="self", parentSpanId="self"), span(7, 7)])
    equal(shape(got["tree"]), [("root", [("a", [("a1", [])]), ("b", [])]), ("lost", []),
                               ("self", []), (None, [])], "tree")


def test_tree_children_before_parents(context):
    got = tree_of(context, [span(1, 1, spanId="leaf", parentSpanId="middle"),
                            span(2, 2, spanId="middle", parentSpanId="top"),
                            span(3, 3, spanId="top")])
    equal(shape(got["tree"]), [("top", [("middle", [("leaf", [])])])], "tree")


def test_tree_cycle_and_retries(context):
    got = tree_of(context, [span(1, 1, spanId="a", parentSpanId="b"),
                            span(2, 2, spanId="b", parentSpanId="c"),
                            span(3, 3, spanId="c", parentSpanId="a"),
                            span(4, 4, spanId="b", parentSpanId="c")])
    equal(shape(got["tree"]), [("c", [("b", [("a", [])]), ("b", [])])], "tree")


def test_long_chain(context):
    count = 900
    spans = [dict(span(i, 0), timestamp="2026-05-01T00:%02d:%02dZ" % divmod(i, 60),
                  spanId="s%d" % i, parentSpanId="s%d" % (i - 1)) for i in range(count)]
    with context.server() as server:
        client = server.client()
        client.ingest(spans)
        body = client.get("/api/events/trace/t?tree=1", checked=False).body  # too deep for Python
        equal(body.count(b'"children":[{'), count - 1, "depth")


def test_bound(context):
    """A trace past the bound is refused, not cut; its events can still be listed."""
    spans = [span(0, 0, durationMs=i) for i in range(10001)]
    with context.server() as server:
        client = server.client()
        for first in range(0, len(spans) - 1, 1000):
            client.ingest(spans[first:first + 1000])
        equal(len(client.good("/api/events/trace/t")["spans"]), 10000, "at the bound")
        client.ingest(spans[-1:])
        reply = client.get("/api/events/trace/t")
        equal((reply.status, reply.json["code"]), (400, "invalid_request"), "past the bound")
        equal(client.good("/api/events?trace_id=t")["total"], 10001, "listed")
        found = client.good("/api/events/traces")["traces"][0]
        equal((found["span_count"], found["total_duration_ms"]), (10001, 10000), "summary")
