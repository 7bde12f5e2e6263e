"""Customers: those that events name and those that somebody described, in one list."""

import random
import time
import urllib.parse
from decimal import Decimal

import oracle
from figures import DAY, HOUR
from harness import ensure, equal, once
from test_accounts import Session, admin

ODD = ["a/b", "ü ñ", "100%", "?x=1&y", "..", "a%2Fb", "\u4f60\u597d", "q\"uote", "back\\slash",
       "+", " ", "_internal", "_internal_x", "x" * 255]


def path_of(customer, tail=""):
    return "/api/customers/" + urllib.parse.quote(customer, safe="").replace(".", "%2E") + tail


def now_ms():
    return int(time.time() * 1000)


def event(customer, **more):
    return dict({"eventName": "e", "customerReferenceId": customer, "featureKey": "f"}, **more)


def pages(client, limit, path="/api/customers"):
    rows, total = [], None
    while total is None or len(rows) < total:
        page = client.good("%s?limit=%d&offset=%d" % (path, limit, len(rows)))
        equal((page["limit"], page["offset"]), (limit, len(rows)), "page")
        ensure(total is None or page["total"] == total, "total changes")
        total = page["total"]
        equal(len(page["data"]), min(limit, total - len(rows)), "rows of a page")
        rows += page["data"]
    return rows


def expected_row(customer, created, events, internal=None):
    """A customer that only events know; events are (age in ms, cost, revenue, source kind)."""
    inside = [e for e in events if e[0] <= 30 * DAY]
    cost = sum((e[1] for e in inside), Decimal(0))
    revenue = max(sum((e[2] for e in inside), Decimal(0)), Decimal(0))
    return {"customer_id": customer, "name": customer, "email": None, "segment": None,
            "is_internal": customer.startswith("_internal") if internal is None else internal,
            "stripe_customer_id": None, "total_cost": cost, "total_revenue": revenue,
            "mrr": Decimal(0), "event_count": len(inside),
            "margin_pct": oracle.margin(oracle.scaled(cost, oracle.PICO),
                                        oracle.scaled(revenue, oracle.PICO))}


def same_row(row, wanted, what):
    for name, value in wanted.items():
        equal(row[name], value, "%s of %s" % (name, what))


def test_of_events(context):
    """Every customer of an event is listed, newest first, with its figures of 30 days."""
    with context.server() as server:
        client = server.client()
        equal(client.good("/api/customers"), {"data": [], "total": 0, "limit": 100, "offset": 0},
              "at first")
        chance = random.Random(3)
        names = ["c-%03d" % number for number in range(300)] + ODD
        sent = {}
        now = now_ms()
        order = []
        for batch in range(12):
            events = []
            for _ in range(60):
                name = chance.choice(names)
                age = chance.choice([0, HOUR, DAY, 20 * DAY, 40 * DAY, 400 * DAY])
                cost = Decimal(chance.randrange(1, 10**6)).scaleb(-6)
                revenue = Decimal(chance.randrange(-10**5, 10**6)).scaleb(-5)
                internal = name.startswith("_internal")
                kind = chance.choice(["chat", "revenue"])
                events.append(event(name, eventName=kind, costAmount=float(cost),
                                    revenueAmount=float(revenue),
                                    timestamp=oracle.iso(now - age - HOUR)))
                if name not in sent:
                    order.append(name)
                sent.setdefault(name, []).append(
                    (age + HOUR, cost, Decimal(0) if internal else revenue))
            before = now_ms()
            equal(client.ingest(events)["accepted"], 60, "accepted")
            equal(client.good("/api/customers?limit=1")["total"], len(sent), "total")
            rows = client.good("/api/customers?limit=500")["data"]
            equal(rows[0]["customer_id"], order[-1], "the newest")
            ensure(before - 1000 <= oracle.parse_ms(rows[0]["created_at"]) <= now_ms(), "created")
        for limit in (7, 100, 500):
            rows = pages(client, limit)
            equal([row["customer_id"] for row in rows], order[::-1], "newest first")
        for row in rows:
            name = row["customer_id"]
            same_row(row, expected_row(name, None, sent[name]), name)
            equal(row["updated_at"], row["created_at"], "updated_at")
            newest = client.good("/api/events?limit=1&sort_dir=asc&customer_id="
                                 + urllib.parse.quote(name, safe=""))
            if newest["total"] == 1 and len(sent[name]) == 1:
                equal(newest["events"][0]["created_at"], row["created_at"], "created_at")
        for hard in (False, True):
            server.restart(hard)
            client = server.client()
            equal(pages(client, 100), rows, "after a restart")
        for name in ODD:
            if name in sent:
                one = client.good(path_of(name))
                same_row(dict(one, **one["customer"]), expected_row(name, None, sent[name]), name)
        for query in ("offset=100000", "offset=9007199254740991", "offset=%d" % len(order)):
            page = client.good("/api/customers?" + query)
            equal((page["data"], page["total"]), ([], len(order)), query)
        page = client.get("/api/customers?limit=x&offset=-3", odd=True).json
        equal((page["limit"], page["offset"], len(page["data"])), (100, 0, 100), "bad numbers")
        equal(client.get("/api/customers?limit=501", odd=True).json["limit"], 500, "too many")


def test_windows(context):
    """Rows in other windows, by cells, buckets and the log, are the same sums."""
    with context.server() as server:
        client = server.client()
        chance = random.Random(5)
        now = now_ms()
        sent = []
        for _ in range(400):
            sent.append((chance.choice(["a", "b", "c"]), now - chance.randrange(100 * DAY),
                         Decimal(chance.randrange(1, 10**6)).scaleb(-6)))
        client.ingest([event(name, costAmount=float(cost), timestamp=oracle.iso(ms))
                       for name, ms, cost in sent])

        def check(query, start, end):
            wanted = {}
            for name, ms, cost in sent:
                if start <= ms <= end:
                    count, total = wanted.get(name, (0, 0))
                    wanted[name] = (count + 1, total + cost)
            for row in client.good("/api/customers?" + query)["data"]:
                equal((row["event_count"], row["total_cost"]),
                      wanted.get(row["customer_id"], (0, 0)), query)
            for name in "abc":
                one = client.good(path_of(name, "?" + query))
                equal((one["event_count"], one["total_cost"]), wanted.get(name, (0, 0)), query)
                equal((sum(row["event_count"] for row in one["by_feature"]),
                       sum(row["total_cost"] for row in one["by_feature"])),
                      (one["event_count"], one["total_cost"]), "features")

        def hours(days):
            start = now_ms() - days * DAY
            return start - start % HOUR

        check("days=all", 0, now)
        check("days=7", hours(7), now)
        check("days=30", hours(30), now)
        check("days=45", hours(45), now)
        start, end = now - 61 * DAY - 12345, now - 3 * DAY - 54321
        check("date_from=%s&date_to=%s" % (oracle.iso(start), oracle.iso(end)), start, end)
        check("date_from=" + oracle.iso(start), start, now)
        day = (now // DAY - 20) * DAY
        check("date_from=%s&date_to=%s" % (oracle.iso(day)[:10], oracle.iso(day)[:10]),
              day, day + DAY - 1)
        one = client.good(path_of("a", "?period_start=%s&period_end=%s&days=1"
                                  % (oracle.iso(start), oracle.iso(end))))
        inside = [ms for name, ms, _ in sent if name == "a" and start <= ms <= end]
        equal(one["event_count"], len(inside), "period")
        equal([oracle.parse_ms(e["timestamp"]) for e in one["recent_events"]],
              sorted(inside, reverse=True)[:50], "newest of the period")
        one = client.good(path_of("a"))
        equal([oracle.parse_ms(e["timestamp"]) for e in one["recent_events"]],
              sorted((ms for name, ms, _ in sent if name == "a"), reverse=True)[:50], "newest")
        for query in ("date_from=x", "date_to=2026-13-01", "days=0", "days=-1",
                      "date_from=2026-02-01&date_to=2026-01-01"):
            equal(client.get("/api/customers?" + query, odd=True).status, 400, query)
            equal(client.get(path_of("a", "?" + query), odd=True).status, 400, query)
        for query in ("period_start=x", "period_end=2026-02-30",
                      "period_start=2026-02-01&period_end=2026-01-01"):
            equal(client.get(path_of("a", "?" + query), odd=True).status, 400, query)


def test_one(context):
    with context.server() as server:
        client = server.client()
        client.ingest([event("acme", model="gpt-4o", modelProvider="openai", costAmount=1.5,
                             revenueAmount=2, usageUnits=3),
                       event("acme", featureKey="g", costAmount=0.25),
                       event("acme", eventName="revenue", featureKey="g", revenueAmount=4),
                       event("other", costAmount=9)])
        one = client.good("/api/customers/acme")
        same_row(one, {"total_cost": Decimal("1.75"), "total_revenue": 6, "mrr": 0,
                       "margin_pct": 71, "event_count": 3, "subscriptions": []}, "acme")
        equal(one["customer"]["name"], "acme", "name")
        equal([(row["feature_key"], row["event_count"], row["total_cost"], row["total_revenue"],
                row["total_usage"]) for row in one["by_feature"]],
              [("f", 1, Decimal("1.5"), 2, 3), ("g", 2, Decimal("0.25"), 4, 0)], "by feature")
        equal([(row["model"], row["model_provider"], row["total_cost"])
               for row in one["by_model"]], [("gpt-4o", "openai", Decimal("1.5"))], "by model")
        equal([e["event_name"] for e in one["recent_events"]], ["revenue", "e", "e"], "newest")
        for unknown in ("nobody", "acm", "ACME", "acme%20", "x" * 300):
            equal(client.get("/api/customers/" + unknown, odd=True).status, 404, unknown)


def test_internal(context):
    """What is said by hand of a customer, who need not have events yet."""
    with context.server() as server:
        client = server.client()
        client.ingest([event("acme"), event("_internal_ops"), event("later")])
        created = {row["customer_id"]: row["created_at"] for row in pages(client, 100)}
        order = ["later", "_internal_ops", "acme"]
        equal([row["customer_id"] for row in pages(client, 100)], order, "order")

        def say(customer, internal):
            reply = client.send("PATCH", path_of(customer, "/internal"),
                                {"is_internal": internal, "more": 1})
            equal((reply.status, reply.json),
                  (200, {"customer_id": customer, "is_internal": internal}), "answer")

        say("acme", True)
        say("_internal_ops", False)
        wanted = {"acme": True, "_internal_ops": False, "later": False}
        for name in ODD:
            say(name, True)
            wanted[name] = True
            order.insert(0, name)
            time.sleep(0.002)
        say("a/b", False)
        wanted["a/b"] = False

        def check():
            rows = pages(client, 5)
            equal({row["customer_id"]: row["is_internal"] for row in rows}, wanted, "internal")
            equal([row["customer_id"] for row in rows[:len(ODD)]], order[:len(ODD)], "order")
            for row in rows:
                if row["customer_id"] in created:
                    equal(row["created_at"], created[row["customer_id"]], "created_at stays")
                equal(client.good(path_of(row["customer_id"]))["customer"]["is_internal"],
                      wanted[row["customer_id"]], "in detail")

        check()
        client.ingest([event(name) for name in ODD] + [event("_internal_ops"), event("new")])
        wanted["new"] = False
        equal(pages(client, 100)[0]["customer_id"], "new", "the newest")
        order.insert(0, "new")
        del order[1]
        equal(client.good("/api/customers?limit=1")["total"], len(wanted), "each once")
        rows = pages(client, 7)
        equal({row["customer_id"]: row["is_internal"] for row in rows}, wanted, "as it was said")
        for hard in (False, True):
            server.restart(hard)
            client = server.client()
            equal(pages(client, 100), rows, "after a restart")
        for body in ("", "[]", "{}", '{"is_internal":1}', '{"is_internal":null}',
                     '{"is_internal":true', '{"is_internal":"true"}'):
            reply = client.send("PATCH", path_of("fresh", "/internal"), body)
            equal((reply.status, reply.json["code"]), (400, "invalid_request"), body)
        for bad in ("%ff", "a%00b", "x" * 256):
            equal(client.send("PATCH", "/api/customers/" + bad + "/internal",
                              {"is_internal": True}, odd=True).status, 400, bad)
        equal(client.send("DELETE", path_of("acme", "/internal")).status, 405, "method")
        equal(client.good("/api/customers?limit=1")["total"], len(wanted), "none was made")


def test_two_accounts(context):
    with context.server() as server:
        context.tool("marginctl", "--data-dir", server.dir, "account", "create", "globex")
        made = context.tool("marginctl", "--data-dir", server.dir, "key", "create", "--name", "g",
                            "--account", "globex")
        key = made.stdout.split()[0]
        first, second = server.client(), server.client(key)
        first.ingest([event("acme", costAmount=1), event("both", costAmount=2)])
        second.ingest([event("both", costAmount=5)])
        first.send("PATCH", path_of("both", "/internal"), {"is_internal": True})
        first.send("PATCH", path_of("mine", "/internal"), {"is_internal": True})
        equal([(r["customer_id"], r["is_internal"], r["total_cost"]) for r in pages(second, 10)],
              [("both", False, 5)], "the second account")
        equal([(r["customer_id"], r["is_internal"], r["total_cost"]) for r in pages(first, 10)],
              [("mine", True, 0), ("both", True, 2), ("acme", False, 1)], "the first account")
        equal(second.get("/api/customers/acme").status, 404, "not ours")
        equal(second.get("/api/customers/mine").status, 404, "not ours")
        equal(second.good("/api/metrics/summary"),
              {"total_customers": 1, "active_subscriptions": 0, "mrr": 0, "arr": 0, "arpc": 0},
              "summary")
        equal(first.good("/api/metrics/summary")["total_customers"], 3, "summary")


@once
def test_many(context):
    """Far more customers than a front thread would catch up with at once."""
    with context.server() as server:
        client = server.client()
        for batch in range(12):
            client.ingest([event("c-%05d" % (batch * 1000 + number)) for number in range(1000)])
        wanted = ["c-%05d" % number for number in range(11999, -1, -1)]
        equal([row["customer_id"] for row in pages(client, 500)], wanted, "all of them")
        client.ingest([event("one more")])
        equal(client.good("/api/customers?limit=1")["data"][0]["customer_id"], "one more", "newest")
        equal(client.good("/api/metrics/summary")["total_customers"], 12001, "summary")


def test_cleared(context):
    """Customers whose events are gone are not listed; their next event makes them new ones."""
    with context.server() as server:
        client = server.client()
        admin(context, server, "owner@acme.test")
        person = Session(server, "owner@acme.test")
        client.ingest([event("old", costAmount=1), event("held", costAmount=2)])
        client.send("PATCH", path_of("held", "/internal"), {"is_internal": True})
        before = {row["customer_id"]: row["created_at"] for row in pages(client, 10)}
        equal(person.send("DELETE", "/api/data/clear").status, 200, "clear")
        for turn in range(2):
            rows = pages(client, 10)
            equal([(row["customer_id"], row["is_internal"], row["event_count"]) for row in rows],
                  [("held", True, 0)], "what somebody set stays")
            equal(rows[0]["created_at"], before["held"], "since when")
            equal(client.get(path_of("old")).status, 404, "nobody knows it")
            if turn == 0:
                server.restart(True)
                client = server.client()
        time.sleep(0.005)
        client.ingest([event("held", costAmount=3), event("old", costAmount=4)])
        rows = pages(client, 10)
        equal([(row["customer_id"], row["total_cost"]) for row in rows], [("old", 4), ("held", 3)],
              "new events")
        ensure(rows[0]["created_at"] > before["old"], "a new customer")
        equal(rows[1]["created_at"], before["held"], "the same customer")
        server.restart()
        equal(pages(server.client(), 10), rows, "after a restart")
