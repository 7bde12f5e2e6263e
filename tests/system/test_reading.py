"""Lists, single events and group-bys against the oracle."""

import random
import time

import figures
import oracle
import scenario
from figures import DAY, HOUR
from harness import Failure, ensure, equal, once


def check_object(client, book, event, bodies=False):
    expected = event.object(book.prices, int(time.time() * 1000))
    got = client.good("/api/events/%d" % event.id)
    ensure(oracle.parse_ms(got.pop("created_at")) > 1.6e12, "created_at")
    equal(got.pop("id"), event.id, "id")
    equal((got.pop("request_body"), got.pop("response_body")), (None, None), "bodies")
    found = oracle.difference(expected, got)
    if found is not None:
        raise Failure("event %r: %s" % (event.sent, found))


def check_order(client, book, sort_by, ascending, key, query="", events=None):
    events = book.select() if events is None else events
    pages, offset = [], 0
    while True:
        path = "/api/events?sort_by=%s&sort_dir=%s&limit=200&offset=%d%s" % (
            sort_by, "asc" if ascending else "desc", offset, query)
        page = client.good(path)
        equal(page["total"], len(events), "total of " + path)
        equal((page["limit"], page["offset"]), (200, offset), "page")
        pages += page["events"]
        offset += 200
        if not page["events"]:
            break

    def rank(event):
        value = key(event)
        if isinstance(value, str):
            value = value.encode()
        return (value is not None, value if value is not None else 0)

    ordered = sorted(events, key=lambda e: -e.id)
    ordered = sorted(ordered, key=rank, reverse=not ascending)  # equals keep their order
    equal([e["id"] for e in pages], [e.id for e in ordered], "order by %s%s" % (sort_by, query))


def test_random_events(context):
    with context.server() as server:
        client = server.client()
        book = oracle.Book()
        scenario.send(client, book, scenario.make(1, 2500))
        figures.learn_ids(client, book)
        unknown = [e for e in book.select() if e.id is None]
        equal(unknown, [], "events that the list does not show")
        figures.compare_aggregates(client, book)
        figures.compare_traces(client, book)
        for event in [e for e in book.events if e.id is not None][::7]:
            check_object(client, book, event)
        sorts = {
            "timestamp": lambda e: e.ms, "event_name": lambda e: e.name,
            "feature_key": lambda e: e.feature, "customer_id": lambda e: e.customer,
            "model": lambda e: e.model, "source": lambda e: "sdk",
            "usage_units": lambda e: e.usage, "cost_amount": lambda e: e.cost,
            "revenue_amount": lambda e: e.revenue, "duration_ms": lambda e: e.duration,
            "no_such_column": lambda e: e.ms,
        }
        for sort_by, key in sorts.items():
            for ascending in (False, True):
                check_order(client, book, sort_by, ascending, key)


def test_filters(context):
    with context.server() as server:
        client = server.client()
        book = oracle.Book()
        scenario.send(client, book, scenario.make(2, 1200))
        figures.learn_ids(client, book)
        filters = {
            "feature_key=feature-3": lambda e: e.feature == "feature-3",
            "customer_id=customer-007": lambda e: e.customer == "customer-007",
            "customer_id=b%C3%A9ta": lambda e: e.customer == "b\u00e9ta",
            "model=gpt-4o-mini": lambda e: e.model == "gpt-4o-mini",
            "model=openai%2Fgpt-4o": lambda e: e.model == "openai/gpt-4o",
            "source=sdk": lambda e: True,
            "source=stripe": lambda e: False,
            "cost_type=tool": lambda e: e.cost_type == "tool",
            "trace_id=trace-7": lambda e: e.trace == "trace-7",
            "agent_id=agent-2": lambda e: e.agent == "agent-2",
            "customer_id=nobody": lambda e: False,
            "trace_id=none": lambda e: False,
            "agent_id=agent-1&cost_type=llm":
                lambda e: e.agent == "agent-1" and e.cost_type == "llm",
            "feature_key=feature-1&model=gpt-4o":
                lambda e: e.feature == "feature-1" and e.model == "gpt-4o",
        }
        now = int(time.time() * 1000)
        for query, holds in filters.items():
            chosen = [e for e in book.select() if holds(e)]
            for ascending in (False, True):
                check_order(client, book, "timestamp", ascending, lambda e: e.ms, "&" + query,
                            chosen)
            check_order(client, book, "cost_amount", False, lambda e: e.cost, "&" + query, chosen)
            bound = now - 40 * DAY
            recent = [e for e in chosen if e.ms >= bound]
            check_order(client, book, "timestamp", False, lambda e: e.ms,
                        "&%s&date_from=%s" % (query, oracle.iso(bound)), recent)


def test_paging(context):
    with context.server() as server:
        client = server.client()
        book = oracle.Book()
        scenario.send(client, book, scenario.make(3, 400))
        total = len(book.select())
        for query, limit, offset in (("", 50, 0), ("?limit=7&offset=3", 7, 3),
                                     ("?limit=9999", 200, 0), ("?limit=x&offset=y", 50, 0),
                                     ("?offset=-5", 50, 0), ("?limit=0", 50, 0),
                                     ("?limit=-1", 50, 0), ("?offset=%d" % total, 50, total),
                                     ("?offset=5000000", 50, 5000000)):
            page = client.good("/api/events" + query)
            equal((page["limit"], page["offset"], page["total"]), (limit, offset, total), query)
            equal(len(page["events"]), max(0, min(limit, total - offset)), "events of " + query)
        begin = time.monotonic()
        page = client.good("/api/events?offset=9007199254740991")
        ensure(page["events"] == [] and time.monotonic() - begin < 1, "a huge offset is cheap")
        for bad in ("?date_from=x", "?date_to=2026-13-01", "?days=x", "?days=0", "?days=-3",
                    "?date_from=2026-05-02&date_to=2026-05-01"):
            equal(client.get("/api/events" + bad).status, 400, bad)
            equal(client.get("/api/events/by-feature" + bad).status, 400, bad)


def test_windows(context):
    """Bounds that fall anywhere: whole buckets from memory, ragged ends from the log."""
    with context.server() as server:
        client = server.client()
        book = oracle.Book()
        scenario.send(client, book, scenario.make(4, 1500))
        times = sorted(e.ms for e in book.events)
        now = int(time.time() * 1000)
        pairs = [(times[0], times[-1]), (times[0] + 1, times[-1] - 1), (times[5], times[5]),
                 (times[200], times[700]), (times[100] + 1, times[101] - 1 + HOUR),
                 (now - 3 * HOUR - 17, now - 1234), (now - 61 * DAY - 1, now - 59 * DAY + 1),
                 (now - 905 * DAY + 5, now - 199 * DAY - 7)]
        for first, last in pairs:
            figures.compare_bounds(client, book, first, last)
        day = oracle.iso(now - 2 * DAY)[:10]
        start = oracle.parse_ms(day + "T00:00:00Z")
        figures.same(client, "/api/events/by-feature?date_from=%s&date_to=%s" % (day, day),
                     book.by_feature(start, start + DAY))
        figures.same(client, "/api/events/by-customer?date_to=" + day,
                     book.by_customer(None, start + DAY))


def test_bounds_are_stated(context):
    with context.server() as server:
        client = server.client()
        for path in ("by-feature", "by-agent", "by-cost-type"):
            reply = client.get("/api/events/%s?date_from=2026-05-01&date_to=2026-05-02" % path)
            equal((reply.headers["X-Window-From"], reply.headers["X-Window-To"]),
                  ("2026-05-01T00:00:00.000Z", "2026-05-03T00:00:00.000Z"), path)
            reply = client.get("/api/events/%s?days=all" % path)
            equal((reply.headers["X-Window-From"], reply.headers["X-Window-To"]), (None, None),
                  path)
            before = figures.window(7)
            reply = client.get("/api/events/%s?days=7" % path)
            ensure(oracle.parse_ms(reply.headers["X-Window-From"]) in (before, figures.window(7)),
                   path)


def test_unknown_ids(context):
    with context.server() as server:
        client = server.client()
        client.ingest([{"eventName": "a", "customerReferenceId": "c", "featureKey": "f"}])
        equal(client.get("/api/events/1").status, 200, "event 1")
        for id in ("2", "0", "-1", "x", "1.0", "99999999999999999999999", "18446744073709551615"):
            reply = client.get("/api/events/" + id)
            equal((reply.status, reply.json["code"]), (404, "not_found"), "event " + id)


def test_empty(context):
    with context.server() as server:
        client = server.client()
        equal(client.good("/api/events"), {"events": [], "total": 0, "limit": 50, "offset": 0},
              "events")
        for path in ("by-feature", "by-customer", "by-model", "by-agent"):
            equal(client.good("/api/events/" + path), [], path)
        equal(client.good("/events/by-cost-type"), {"breakdown": []}, "by-cost-type")
        equal(client.good("/events/traces"), {"traces": []}, "traces")
        equal(client.good("/events/trace/x"), {"trace_id": "x", "spans": []}, "trace")


def test_prices(context):
    with context.server() as server:
        client = server.client()
        reply = client.get("/api/pricing/models", key=False)
        equal(reply.status, 200, "status without a key")
        listed = {(m["provider"], m["model"]): m for m in reply.json["models"]}
        prices = oracle.Prices()
        now = int(time.time() * 1000)
        equal(len(listed), len(prices.models), "models")
        for entry in prices.models:
            found = listed[(entry["provider"], entry["model"])]
            rates = prices.listing(entry, now)
            difference = oracle.difference(
                list(rates), [found["input_cost_per_million"], found["output_cost_per_million"]])
            equal(difference, None, entry["model"])
        ensure(reply.json["updated_at"].startswith("2026-"), "updated_at")


def test_odd_requests(context):
    """Whatever a query string says, the answer is a figure or a refusal, never a fault."""
    chance = random.Random(7)
    names = ["limit", "offset", "days", "date_from", "date_to", "sort_by", "sort_dir", "tree",
             "feature_key", "customer_id", "model", "source", "cost_type", "trace_id", "agent_id"]
    values = ["", "0", "1", "-1", "9" * 30, "all", "x", "%00", "%ff", "%F0%9F%98%80", "a" * 300,
              "2026-05-01", "0000-01-01", "9999-12-31", "9999-12-31T23:59:59.999Z", "sdk",
              "1970-01-01T00:00:00Z", "customer-001", "timestamp", "model", "asc", "%", "+", "&&",
              "2026-05-01T00:00:00%2B02:00", "18446744073709551615", "9223372036854775808"]
    paths = ["/api/events", "/events/by-feature", "/api/events/by-agent", "/events/by-model",
             "/api/events/by-cost-type", "/events/by-customer", "/api/events/traces",
             "/events/trace/trace-1", "/events/trace/%F0%9F%98%80", "/api/events/7",
             "/events/trace/" + "t" * 400]
    with context.server() as server:
        client = server.client()
        scenario.send(client, oracle.Book(), scenario.make(5, 300))
        for _ in range(600):
            query = "&".join("%s=%s" % (chance.choice(names), chance.choice(values))
                             for _ in range(chance.randrange(5)))
            path = "%s?%s" % (chance.choice(paths), query)
            reply = client.get(path, odd=True)
            ensure(reply.status in (200, 400, 404), "%d for %s" % (reply.status, path))
            ensure(isinstance(reply.json, (dict, list)), "no JSON for " + path)
        equal(client.get("/healthz").status, 200, "alive")


@once
def test_more_rows_than_an_answer_holds(context):
    with context.server() as server:
        client = server.client()
        for first in range(0, 100002, 1000):
            client.ingest([{"eventName": "e", "customerReferenceId": "c%d" % n, "featureKey": "f",
                            "costAmount": 1} for n in range(first, min(first + 1000, 100002))])
        reply = client.get("/api/events/by-customer")
        equal((reply.status, len(reply.json), reply.headers["X-Total-Rows"]),
              (200, 100000, "100002"), "by-customer")
        equal(client.get("/api/events/by-feature").headers["X-Total-Rows"], None, "by-feature")


def test_margins_far_from_revenue(context):
    """A margin is exact however small the revenue: nothing is cut to 64 bits."""
    with context.server() as server:
        client = server.client()
        client.ingest([{"eventName": "e", "customerReferenceId": "c", "featureKey": "f",
                        "costAmount": 9000000, "revenueAmount": 1e-12}])
        equal(client.good("/api/events/by-customer")[0]["margin_pct"], -899999999999999999900, "%")
