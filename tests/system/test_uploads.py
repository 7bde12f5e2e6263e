"""Uploads: costs, usage, bills and revenue, each in the place of the one before; clearing."""

import datetime
import http.client
import random
import threading
import time
from collections import defaultdict
from decimal import Decimal

from harness import ensure, equal, once
from test_accounts import OPEN, Session, account, admin

UP = "/api/data/upload/"
PAGE = 200


def upload(client, kind, body, status=200):
    reply = client.send("POST", UP + kind, body)
    equal(reply.status, status, "%s: %s" % (kind, reply.body[:300]))
    return reply.json


def listed(client, name):
    """All csv events of a name, in the order of their ids; those named revenue are not listed."""
    rows = []
    while True:
        page = client.good("/api/events?limit=%d&offset=%d&source=csv" % (PAGE, len(rows)))
        rows += page["events"]
        if len(page["events"]) < PAGE:
            break
    equal(len(rows), page["total"], "total")
    return sorted((row for row in rows if row["event_name"] == name), key=lambda row: row["id"])


def sums(client):
    """Cost, usage and count of everything by (customer), by feature, as the figures have them."""
    features = {row["feature_key"]: (row["event_count"], row["total_cost"], row["total_usage"])
                for row in client.good("/api/events/by-feature?days=all")}
    customers = {row["customer_id"]: (row["event_count"], row["total_cost"])
                 for row in client.good("/api/events/by-customer?days=all")}
    return features, customers


def expected_sums(records, feature_of, customer_of, cost_of, usage_of):
    features = defaultdict(lambda: [0, Decimal(0), Decimal(0)])
    customers = defaultdict(lambda: [0, Decimal(0)])
    for record in records:
        for row in (features[feature_of(record)], customers[customer_of(record)]):
            row[0] += 1
            row[1] += cost_of(record)
        features[feature_of(record)][2] += usage_of(record)
    return ({name: tuple(row) for name, row in features.items()},
            {name: tuple(row) for name, row in customers.items()})


def costs_of(seed, count):
    pick = random.Random(seed)
    records = []
    for _ in range(count):
        record = {"month": "20%02d-%02d" % (pick.randrange(10, 26), pick.randrange(1, 13)),
                  "cost": pick.choice([0, 1250.5, 0.000001, 12, 99.99])}
        if pick.random() < 0.6:
            record["customer_id"] = pick.choice(["acme", "b\u00e9, co", "_internal-x"])
        if pick.random() < 0.6:
            record["provider"] = pick.choice(["aws", "gcp"])
        records.append(record)
    return records


def check_costs(client, records):
    rows = listed(client, "cost")
    equal(len(rows), len(records), "costs stored")
    for row, record in zip(rows, records):
        equal((row["timestamp"], row["cost_amount"], row["cost_source"], row["customer_id"],
               row["feature_key"], row["source"], row["granularity"], row["revenue_amount"]),
              (record["month"] + "-01T00:00:00.000Z", Decimal(str(record["cost"])), "explicit",
               record.get("customer_id", "_aggregate"), record.get("provider", "infrastructure"),
               "csv", "monthly_aggregate", 0), "a cost")
    wanted = expected_sums(records, lambda r: r.get("provider", "infrastructure"),
                           lambda r: r.get("customer_id", "_aggregate"),
                           lambda r: Decimal(str(r["cost"])), lambda r: Decimal(0))
    equal(sums(client), wanted, "figures of costs")


def test_costs(context):
    with context.server() as server:
        client = server.client()
        for seed, count in ((1, 30), (2, 4500), (3, 7)):
            records = costs_of(seed, count)
            equal(upload(client, "costs", {"records": records}),
                  {"success": True, "count": count}, "answer")
            check_costs(client, records)
        upload(client, "costs", {"records": records[:3] + [{"month": "2026-13", "cost": 1}]}, 400)
        check_costs(client, records)
        server.verify()
        for hard in (False, True):
            server.restart(hard)
            client = server.client()
            check_costs(client, records)
        server.verify()
        status = client.good("/api/data/status")
        equal((status["has_costs"], status["costs_record_count"], status["has_usage"],
               status["data_mode"]), (True, 7, False, "user"), "status")


def test_usage(context):
    with context.server() as server:
        client = server.client()
        equal(client.send("POST", "/api/feature-pricing",
                          {"feature_key": "seats", "revenue_per_unit": 5}).status, 200, "a price")
        for first, count in ((0, 20), (5, 11)):
            records = [{"customer_id": "c%d" % (i % 3), "month": "2026-0%d" % (1 + i % 9),
                        ("metric", "metric_key")[i % 2]: ("seats", "calls")[i % 2],
                        ("value", "metric_value")[i // 2 % 2]: first + i + 0.5}
                       for i in range(count)]
            records[3]["limit"] = 100
            equal(upload(client, "usage", {"records": records})["count"], count, "count")
            rows = listed(client, "usage")
            equal([(row["customer_id"], row["feature_key"], row["usage_units"], row["timestamp"],
                    row["properties"], row["revenue_amount"], row["revenue_source"])
                   for row in rows],
                  [("c%d" % (i % 3), ("seats", "calls")[i % 2], Decimal(str(first + i + 0.5)),
                    "2026-0%d-01T00:00:00.000Z" % (1 + i % 9), {"limit": 100} if i == 3 else None,
                    0, "none") for i in range(count)], "rows")
        equal(client.good("/api/data/status")["usage_record_count"], 11, "status")
        bad = [{}] * 7
        answer = upload(client, "usage", {"records": [records[0]] + bad}, 400)
        equal((answer["code"], [detail["index"] for detail in answer["details"]]),
              ("invalid_request", [1, 2, 3, 4, 5]), "the first five")
        equal(listed(client, "usage"), rows, "nothing changed")
        server.verify()


OPENAI = "date,model,n_context_tokens,n_completion_tokens,cost ($)\n"
ANTHROPIC = "Date,Model,Input_Tokens,output_tokens,Total_Cost\r\n"


def test_bills(context):
    with context.server() as server:
        client = server.client()
        text = OPENAI + "2026-05-01,gpt-4o,1000,500,0.0075\n2026-05-02,\"gpt-4o, mini\",,,$1.5\n" \
            "total,,,,\n2026-05-02T10:00:00Z,gpt-4o,7,,0\n"
        equal(upload(client, "provider-csv", {"raw_csv": text}),
              {"success": True, "provider": "openai", "rows": 3,
               "models": ["gpt-4o", "gpt-4o, mini"]}, "openai")
        rows = listed(client, "provider_import")
        equal([(row["timestamp"][:10], row["model"], row["model_provider"], row["feature_key"],
                row["customer_id"], row["cost_amount"], row["usage_units"], row["input_tokens"],
                row["output_tokens"], row["granularity"], row["source"]) for row in rows],
              [("2026-05-01", "gpt-4o", "openai", "gpt-4o", "_aggregate", Decimal("0.0075"), 1500,
                1000, 500, "daily_aggregate", "csv"),
               ("2026-05-02", "gpt-4o, mini", "openai", "gpt-4o, mini", "_aggregate",
                Decimal("1.5"), 0, None, None, "daily_aggregate", "csv"),
               ("2026-05-02", "gpt-4o", "openai", "gpt-4o", "_aggregate", 0, 7, 7, None,
                "daily_aggregate", "csv")], "rows")
        equal(upload(client, "provider-csv",
                     {"raw_csv": ANTHROPIC + "2026-05-03,claude-x,1,2,3\r\n"})["provider"],
              "anthropic", "anthropic")
        equal([row["model"] for row in listed(client, "provider_import")], ["claude-x"],
              "in the place of the one before")
        unknown = "day,thing,price\n" + "".join("2026-05-0%d,t,%d\n" % (i, i) for i in range(1, 8))
        answer = upload(client, "provider-csv", {"raw_csv": unknown}, 400)
        equal((answer["error"], answer["headers"], answer["sample_rows"]),
              ("unknown_format", ["day", "thing", "price"],
               [["2026-05-0%d" % i, "t", "%d" % i] for i in range(1, 6)]), "unknown")
        equal(len(listed(client, "provider_import")), 1, "nothing changed")
        mapping = {"date": 0, "model": 1, "cost": 2}
        equal(upload(client, "provider-csv", {"raw_csv": unknown, "mapping": mapping}),
              {"success": True, "provider": "custom", "rows": 7, "models": ["t"]}, "mapping")
        equal(sum(row["cost_amount"] for row in listed(client, "provider_import")), 28, "cost")
        answer = upload(client, "provider-csv", {"raw_csv": OPENAI + "2026-05-01,m,1,1,1\n" * 3 +
                                                 "total,,,,\n2026-05-01,m,1,1,1,1\n"
                                                 "2026-05-32,m,1,1,1\n"}, 400)
        equal([detail["index"] for detail in answer["details"]], [4, 5], "bad rows")
        equal(len(listed(client, "provider_import")), 7, "nothing changed")
        server.verify()


def revenue_figures(client):
    """The by-customer list leaves events named revenue out, a feature's page does not."""
    feature = client.get("/api/features/subscription")
    by_customer = feature.json["by_customer"] if feature.status == 200 else []
    return (client.good("/api/metrics/summary"), client.good("/api/plans"),
            client.good("/api/subscriptions")["data"],
            {row["customer_id"]: row for row in client.good("/api/customers")["data"]},
            {row["customer_id"]: row["total_revenue"] for row in by_customer})


def test_revenue(context):
    with context.server() as server:
        client = server.client()
        body = {"customers": [{"customer_id": "acme", "name": "Acme", "email": "a@acme.example"},
                              {"id": "solo", "name": "Solo", "created_at": "2024-02-03"}],
                "plans": [{"plan_id": "pro", "name": "Pro", "price_amount": 49.5},
                          {"id": "year", "price_amount": 1200, "interval_months": 12}],
                "subscriptions": [{"customer_id": "acme", "plan_id": "pro"},
                                  {"customer_id": "acme", "plan_id": "year", "id": "s2"},
                                  {"customer_id": "new", "plan_id": "pro", "mrr_override": 10},
                                  {"customer_id": "_internal-x", "plan_id": "pro"}]}
        equal(upload(client, "revenue", body),
              {"success": True,
               "counts": {"customers": 2, "plans": 2, "subscriptions": 4}}, "counts")
        summary, plans, subscriptions, customers, revenue = revenue_figures(client)
        equal((summary["active_subscriptions"], summary["mrr"], summary["total_customers"]),
              (4, Decimal("49.5") + 100 + 10 + Decimal("49.5"), 4), "summary")
        equal([plan["plan_id"] for plan in plans], ["pro", "year"], "plans")
        equal(sorted(row["subscription_id"] for row in subscriptions),
              ["s2", "upload-1", "upload-3", "upload-4"], "subscriptions")
        equal((customers["acme"]["name"], customers["solo"]["created_at"][:10]),
              ("Acme", "2024-02-03"), "customers")
        equal(revenue, {"acme": Decimal("1249.5"), "new": 10, "_internal-x": 0}, "revenue")
        events = client.good("/api/features/subscription")
        equal((events["event_count"], events["total_revenue"]), (4, Decimal("1259.5")), "events")
        status = client.good("/api/data/status")
        equal((status["has_revenue"], status["revenue_customer_count"], status["customer_count"]),
              (True, 3, 4), "status")
        before = revenue_figures(client)
        for bad in ({"subscriptions": [{"customer_id": "a", "plan_id": "none"}]},
                    {"plans": [{"plan_id": "p", "price_amount": -1}]},
                    {"plans": [{"plan_id": "p", "price_amount": 1}] * 2},
                    {"customers": [{"name": "nobody"}]}, {"customers": 5},
                    {"subscriptions": [{"plan_id": "pro"}]}, {"x": 1}, []):
            upload(client, "revenue", bad, 400)
            equal(revenue_figures(client), before, "a refused upload changes nothing")
        for hard in (False, True):
            server.restart(hard)
            client = server.client()
            equal(revenue_figures(client), before, "after a restart")
        server.verify()
        upload(client, "revenue", {"customers": [{"customer_id": "acme", "name": "Acme 2"}],
                                   "plans": [{"plan_id": "pro", "price_amount": 7}],
                                   "subscriptions": [{"customer_id": "acme", "plan_id": "pro"}]})
        summary, plans, subscriptions, customers, revenue = revenue_figures(client)
        equal((summary["mrr"], len(plans), len(subscriptions), revenue),
              (7, 1, 1, {"acme": 7}), "in the place of the one before")
        equal(customers["acme"]["name"], "Acme 2", "name")
        ensure("solo" not in customers, "an uploaded customer is gone")
        server.verify()


def test_clearing(context):
    with context.server(arguments=OPEN) as server:
        other = account(context, server, "other")
        admin(context, server, "me@example.com")
        admin(context, server, "you@example.com", "--account", str(other))
        admin(context, server, "see@example.com", "--role", "viewer", "--account", "1")
        person = Session(server, "me@example.com")
        client = server.client()
        theirs = Session(server, "you@example.com").make_key(name="k")["key"]
        theirs = server.client(key=theirs)
        sent = {"eventName": "cost", "customerReferenceId": "acme", "featureKey": "chat",
                "costAmount": 3, "idempotencyKey": "key", "traceId": "trace", "agentId": "agent"}
        costs = {"records": [{"month": "2026-05", "cost": 1}]}
        usage = {"records": [{"customer_id": "acme", "month": "2026-05", "metric": "m",
                              "value": 2}]}
        revenue = {"customers": [{"customer_id": "acme", "name": "Acme"}],
                   "plans": [{"plan_id": "p", "price_amount": 5}],
                   "subscriptions": [{"customer_id": "acme", "plan_id": "p"}]}
        for one in (client, theirs):
            equal(one.ingest([sent])["accepted"], 1, "an event")
            for kind, body in (("costs", costs), ("usage", usage), ("revenue", revenue),
                               ("provider-csv", {"raw_csv": OPENAI + "2026-05-01,m,1,1,9\n"})):
                upload(one, kind, body)
        untouched = revenue_figures(theirs), sums(theirs), theirs.good("/api/data/status")
        for path in ("", "/revenue", "/costs", "/usage"):
            path = "/api/data/clear" + path
            equal(client.send("DELETE", path).status, 403, "a key clears nothing")
            equal(Session(server, "see@example.com").send("DELETE", path).status, 403, "a viewer")
        steps = [("/usage", 2, {"has_usage": False}),
                 ("/costs", 0, {"has_costs": False, "costs_record_count": 0}),
                 ("/revenue", 0, {"has_revenue": False, "revenue_customer_count": 0})]
        left = client.good("/api/data/status")
        for part, csv_left, change in steps:
            reply = person.send("DELETE", "/api/data/clear" + part)
            equal((reply.status, reply.json), (200, {"success": True}), part)
            left.update(change)
            if part == "/usage":
                left["usage_record_count"] = 0
            if part == "/costs":
                left["customer_count"] -= 1  # _aggregate
            equal(client.good("/api/data/status"), left, "status after " + part)
            equal(client.good("/api/events?source=csv")["total"], csv_left, "left of csv")
            server.verify()
        equal(client.good("/api/events")["total"], 1, "what was sent stays")
        equal(client.good("/api/plans"), [], "plans")
        equal(client.ingest([sent])["duplicates"], 1, "the key is known")
        upload(client, "revenue", revenue)
        equal(person.send("DELETE", "/api/data/clear").status, 200, "everything")
        for hard in (None, False, True):
            if hard is not None:
                server.restart(hard)
                client = server.client()
            status = client.good("/api/data/status")
            equal((status["data_mode"], status["has_data"], status["customer_count"]),
                  ("none", False, 0), "nothing is there")
            equal(client.good("/api/events")["total"], 0, "events")
            equal(client.good("/api/events/by-customer?days=all"), [], "figures")
            equal(client.good("/api/events/traces")["traces"], [], "traces")
            equal(client.good("/api/events/by-agent"), [], "agents")
            equal(client.good("/api/customers")["total"], 0, "customers")
            server.verify()
        equal(client.ingest([sent])["accepted"], 1, "the key is free again")
        equal(client.ingest([sent])["duplicates"], 1, "and known again")
        theirs = server.client(key=theirs.key)
        equal((revenue_figures(theirs), sums(theirs), theirs.good("/api/data/status")), untouched,
              "the other account")
        server.verify()


def test_while_events_come(context):
    """Replacing again and again, beside ingest: no reader ever sees half of an upload."""
    with context.server() as server:
        client = server.client()
        reader = server.client()
        sent = 0
        upload(client, "costs", {"records": [{"month": "2026-05", "cost": 1}] * 100})
        end = time.monotonic() + 2
        seen = set()
        for turn in range(1, 1000):
            records = [{"month": "2026-05", "cost": turn, "customer_id": "c"}] * 100
            upload(client, "costs", {"records": records})
            sent += client.ingest([{"eventName": "e", "customerReferenceId": "d", "featureKey": "f",
                                    "costAmount": 1}] * 50)["accepted"]
            rows = {row["feature_key"]: row
                    for row in reader.good("/api/events/by-feature?days=all")}
            equal((rows["infrastructure"]["event_count"], rows["infrastructure"]["total_cost"]),
                  (100, 100 * turn), "of the last upload")
            equal(rows["f"]["event_count"], sent, "events")
            seen.add(turn)
            if time.monotonic() > end:
                break
        ensure(len(seen) > 3, "turns: %d" % len(seen))
        server.verify()
        server.kill()
        server.start()
        rows = {row["feature_key"]: row["total_cost"]
                for row in server.client().good("/api/events/by-feature?days=all")}
        equal(rows, {"infrastructure": 100 * turn, "f": sent}, "after a crash")
        server.verify()


def test_readers_see_one_upload(context):
    """Rows of today and of days that are over trade places: no answer has both or neither."""
    with context.server(arguments=("--limit-management", "0")) as server:
        client = server.client()
        days = (datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"), "2026-02-03")
        texts = [OPENAI + (day + ",gpt-4o,1,1,1\n") * 100 for day in days]
        upload(client, "provider-csv", {"raw_csv": texts[0]})
        seen = []
        ended = threading.Event()

        def read():
            reader = server.client()
            while not ended.is_set():
                listed = reader.good("/api/events?source=csv&limit=150")
                feature = reader.good("/api/features/gpt-4o")
                customer = reader.good("/api/customers/_aggregate?days=all")
                seen.append((reader.good("/api/metrics/source-breakdown")["total_events"],
                             sum(month["event_count"] for month in reader.good(
                                 "/api/customers/_aggregate/timeseries")["timeseries"]),
                             listed["total"], len(listed["events"]),
                             len({event["timestamp"] for event in listed["events"]}),
                             feature["event_count"], len(feature["recent_events"]),
                             len(customer["recent_events"]),
                             tuple((row["customer_id"], row["event_count"]) for row in
                                   reader.good("/api/customers?days=all")["data"])))

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        end = time.monotonic() + 2
        turn = 0
        while time.monotonic() < end:
            turn += 1
            upload(client, "provider-csv", {"raw_csv": texts[turn % 2]})
        ended.set()
        for reader in readers:
            reader.join()
        ensure(len(seen) > 3, "answers: %d" % len(seen))
        equal(set(seen), {(100, 100, 100, 100, 1, 100, 50, 50, (("_aggregate", 100),))},
              "events of an upload")
        server.verify()


@once
def test_revenue_is_one_step(context):
    """Killed at any moment of an upload: subscriptions and their events are of the same one."""
    count = 2000

    def body(price):
        return {"plans": [{"plan_id": "p", "price_amount": price}],
                "subscriptions": [{"customer_id": "c%d" % i, "plan_id": "p"} for i in range(count)]}

    pick = random.Random(5)
    with context.server() as server:
        upload(server.client(), "revenue", body(1))
        took = time.monotonic()
        upload(server.client(), "revenue", body(2))
        took = time.monotonic() - took
        known = {2}
        for turn in range(3, 15):
            client = server.client()

            def send(client=client, turn=turn):
                try:
                    client.send("POST", UP + "revenue", body(turn), checked=False)
                except OSError:
                    pass
                except http.client.HTTPException:
                    pass

            sender = threading.Thread(target=send)
            sender.start()
            time.sleep(took * pick.uniform(0.3, 1.1))
            server.restart(hard=True)
            sender.join()
            client = server.client()
            price = client.good("/api/plans")[0]["price_amount"]
            ensure(price == turn or price in known, "an upload that was sent: %s" % price)
            rows = client.good("/api/analytics/customer-pnl?days=all&limit=500")["customers"]
            equal({row["event_revenue"] for row in rows}, {price}, "events of turn %d" % turn)
            equal(client.good("/api/metrics/summary")["mrr"], price * count, "subscriptions")
            equal(client.good("/api/metrics/source-breakdown")["total_events"], count, "events")
            known = {price}
        server.verify()


def numbers_of(reader):
    """What each endpoint says of a whole account, as far as it can be all or nothing, in turn."""
    overview = reader.good("/api/analytics/overview")
    numbers = [overview["event_count"], overview["active_customers"], overview["models_used"],
               sum(row["event_count"] for row in overview["daily"])]
    for path, name in (("events/by-customer?days=all", "event_count"),
                       ("events/by-model?days=2", "event_count"),
                       ("events/by-agent", "event_count"),
                       ("features?days=7", "event_count")):
        numbers.append(sum(row[name] for row in reader.good("/api/" + path)))
    for path, part, name in (("events/by-cost-type", "breakdown", "event_count"),
                             ("analytics/trends", "months", "active_customers"),
                             ("analytics/retention", "cohorts", "size")):
        numbers.append(sum(row[name] for row in reader.good("/api/" + path)[part]))
    for path, name in (("events?limit=1", "total"), ("customers?limit=1", "total"),
                       ("metrics/summary", "total_customers")):
        numbers.append(reader.good("/api/" + path)[name])
    for path, name in (("analytics/customer-pnl?limit=5000", "customers"),
                       ("events/traces?limit=1", "traces")):
        numbers.append(len(reader.good("/api/" + path)[name]))
    return numbers


@once
def test_all_or_nothing(context):
    """An account that takes long to clear has all of its events for a reader, or none."""
    count, customers = 60000, 4000
    with context.server(arguments=OPEN + ("--limit-management", "0")) as server:
        admin(context, server, "me@example.com")
        person = Session(server, "me@example.com")
        client = server.client()
        for first in range(0, count, 1000):
            client.ingest([{"eventName": "e", "customerReferenceId": "c%d" % (i % customers),
                            "featureKey": "f%d" % (i // customers), "model": "m", "costAmount": 1,
                            "traceId": "t%d" % i, "agentId": "a%d" % (i % 40)}
                           for i in range(first, first + 1000)])
        everything = numbers_of(client)
        equal(everything, [count, customers, 1] + [count] * 6 + [customers] * 2 + [count]
              + [customers] * 3 + [1], "at first")
        nothing = [0] * len(everything)
        seen = []
        ended = threading.Event()

        def read():
            reader = server.client()
            while not ended.is_set():
                seen.append(numbers_of(reader))

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        time.sleep(0.3)
        equal(person.send("DELETE", "/api/data/clear").status, 200, "clearing")
        equal(numbers_of(client), nothing, "at last")
        ended.set()
        for reader in readers:
            reader.join()
        for numbers in seen:  # each endpoint for itself: the clear may come between two of them
            for one, all_of_it in zip(numbers, everything):
                ensure(one in (0, all_of_it), "a part: %r" % (numbers,))
            ensure(sorted(n == 0 for n in numbers) == [n == 0 for n in numbers], "%r" % (numbers,))
        server.verify()
