"""Compares every figure a server gives with the oracle's."""

import time

import oracle
from harness import Failure, equal

DAY = 86400000
HOUR = 3600000


def same(client, path, expected):
    found = oracle.difference(expected, client.good(path))
    if found is not None:
        raise Failure("GET %s: %s" % (path, found))


def window(days):
    """Start of the last `days` days: rounded down to the minute up to one day, else the hour."""
    start = int(time.time() * 1000) - days * DAY
    width = 60000 if days <= 1 else HOUR
    return start - start % width


def compare_aggregates(client, book):
    """Default windows, all time, some days, and explicit bounds that cut buckets."""
    same(client, "/api/events/by-feature", book.by_feature(window(90)))
    same(client, "/api/events/by-customer", book.by_customer(window(90)))
    same(client, "/api/events/by-model", book.by_model(window(90)))
    same(client, "/api/events/by-agent", book.by_agent())
    same(client, "/api/events/by-cost-type", {"breakdown": book.by_cost_type(window(30))})
    for days in ("1", "7", "30", "365", "all"):
        bounds = () if days == "all" else (window(int(days)),)
        same(client, "/events/by-feature?days=" + days, book.by_feature(*bounds))
        same(client, "/events/by-customer?days=" + days, book.by_customer(*bounds))
        same(client, "/events/by-model?days=" + days, book.by_model(*bounds))
        same(client, "/events/by-cost-type?days=" + days,
             {"breakdown": book.by_cost_type(*bounds)})
        same(client, "/events/by-agent?days=" + days, book.by_agent(*bounds))


def compare_bounds(client, book, first_ms, last_ms):
    """Both bounds included, whatever buckets they cut."""
    path = "?date_from=%s&date_to=%s" % (oracle.iso(first_ms), oracle.iso(last_ms))
    bounds = (first_ms, last_ms + 1)
    same(client, "/api/events/by-feature" + path, book.by_feature(*bounds))
    same(client, "/api/events/by-customer" + path, book.by_customer(*bounds))
    same(client, "/api/events/by-model" + path, book.by_model(*bounds))
    same(client, "/api/events/by-cost-type" + path, {"breakdown": book.by_cost_type(*bounds)})
    same(client, "/api/events/by-agent" + path, book.by_agent(*bounds))
    got = client.good("/api/events%s&limit=1" % path)
    equal(got["total"], len(book.select(*bounds)), "total of " + path)


def compare_traces(client, book):
    expected = book.traces()
    got = client.good("/api/events/traces?limit=200")["traces"]
    found = oracle.difference(expected[:200], got)
    if found is not None:
        raise Failure("traces: " + found)
    for trace in expected[:3]:
        spans = client.good("/api/events/trace/" + trace["trace_id"])["spans"]
        events = sorted((e for e in book.events if e.trace == trace["trace_id"]),
                        key=lambda e: e.ms)
        equal([s["timestamp"] for s in spans], [oracle.iso(e.ms) for e in events], "span times")


def learn_ids(client, book):
    """Gives the oracle's events their ids, by key, through the list."""
    offset, total, by_key = 0, 1, {e.key: e for e in book.events}
    while offset < total:
        page = client.good("/api/events?sort_by=timestamp&limit=200&offset=%d" % offset)
        total = page["total"]
        for found in page["events"]:
            by_key[found["idempotency_key"]].id = found["id"]
        offset += 200
