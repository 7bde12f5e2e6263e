"""Subscriptions and what they are a month, against a second computation from what was uploaded."""

import datetime
import random
import time
from decimal import Decimal

import oracle
from figures import DAY
from harness import ensure, equal
from test_customers import event, now_ms, pages, path_of

PICO = oracle.PICO
CENT = PICO // 100
MODELS = ["flat", "metered", "tiered", "hybrid", None]


def pico(amount):
    return oracle.scaled(amount, PICO)


def upload(client, body, status=200):
    reply = client.send("POST", "/api/data/upload/revenue", body)
    equal(reply.status, status, "upload (%r)" % reply.body[:200])
    return reply.json


def drop_absent(record):
    return {name: value for name, value in record.items() if value is not None}


def make_plans(chance):
    plans = []
    for number in range(8):
        plans.append(drop_absent({
            "plan_id": "plan-%d" % number,
            "name": chance.choice(["Plan %d" % number, None]),
            "price_amount": chance.choice([0, 9.99, 100, 1000, 0.005, 12345.678901234567]),
            "interval_months": chance.choice([1, 3, 12]),
            "billing_model": chance.choice(["recurring", None])}))
    return plans


def make_customers(chance, names):
    return [drop_absent({
        "customer_id": name,
        "name": chance.choice(["The %s" % name, None]),
        "email": chance.choice(["%s@example.com" % name, None]),
        "segment": chance.choice(["smb", None])}) for name in names]


def make_subscriptions(chance, names, plans, now):
    found = []
    for number in range(60):
        created = now - chance.choice([0, 10, 59, 61, 200]) * DAY - chance.randrange(1000)
        found.append(drop_absent({
            "subscription_id": "s-%02d" % number,
            "customer_id": chance.choice(names),
            "plan_id": chance.choice(plans)["plan_id"] if chance.random() < 0.9 else None,
            "pricing_model": chance.choice(MODELS),
            "unit_price": chance.choice([0.002, None]),
            "mrr_override": chance.choice([0, 49.5, 0.0000001, None, None, None]),
            "is_active": chance.random() < 0.7,
            "current_period_start": chance.choice([oracle.iso(now - DAY), None]),
            "current_period_end": chance.choice([oracle.iso(now + DAY), None]),
            "created_at": oracle.iso(created)}))
    return found


class Book:
    """What was uploaded, and what follows from it."""

    def __init__(self, customers, plans, subscriptions):
        self.customers = {c["customer_id"]: c for c in customers}
        self.plans = {p["plan_id"]: p for p in plans}
        self.subscriptions = subscriptions

    def body(self):
        return {"customers": list(self.customers.values()), "plans": list(self.plans.values()),
                "subscriptions": self.subscriptions}

    def name(self, customer):
        return self.customers.get(customer, {}).get("name", customer)

    def worth(self, subscription):
        if "mrr_override" in subscription:
            return pico(subscription["mrr_override"])
        plan = self.plans.get(subscription.get("plan_id"))
        if plan is None:
            return 0
        months = plan["interval_months"] * CENT
        return (2 * pico(plan["price_amount"]) + months) // (2 * months) * CENT

    def mrr(self, customer=None):
        return sum(self.worth(s) for s in self.subscriptions
                   if s["is_active"] and customer in (None, s["customer_id"]))

    def prior(self, customer, now):
        return sum(self.worth(s) for s in self.subscriptions if s["customer_id"] == customer
                   and oracle.parse_ms(s["created_at"]) <= now - 60 * DAY)

    def sold(self, customer):
        """Revenue of the events that an upload makes of subscriptions."""
        total = 0
        for s in self.subscriptions:
            plan = self.plans.get(s.get("plan_id"), {"price_amount": 0})
            if s["customer_id"] == customer:
                total += pico(s.get("mrr_override", plan["price_amount"]))
        return total

    def row(self, s):
        plan = self.plans.get(s.get("plan_id"))
        customer = self.customers.get(s["customer_id"], {})
        return {
            "subscription_id": s["subscription_id"], "customer_id": s["customer_id"],
            "customer_name": self.name(s["customer_id"]), "customer_email": customer.get("email"),
            "plan_id": s.get("plan_id"),
            "plan_name": plan and plan.get("name", plan["plan_id"]),
            "price_amount": plan and oracle.money(pico(plan["price_amount"])),
            "interval_months": plan and plan["interval_months"],
            "pricing_model": s.get("pricing_model"),
            "unit_price": number(s.get("unit_price")),
            "mrr_override": number(s.get("mrr_override")),
            "mrr": oracle.money(self.worth(s)) if s["is_active"] else 0,
            "is_active": s["is_active"],
            "current_period_start": s.get("current_period_start"),
            "current_period_end": s.get("current_period_end"),
            "created_at": s["created_at"]}


def number(value):
    return None if value is None else oracle.money(pico(value))


def newest_first(subscriptions):
    by_id = sorted(subscriptions, key=lambda s: s["subscription_id"])
    return sorted(by_id, key=lambda s: s["created_at"], reverse=True)


def check_lists(client, book):
    wanted = [book.row(s) for s in newest_first(book.subscriptions)]
    for limit in (7, 500):
        equal(pages(client, limit, "/api/subscriptions"), wanted, "subscriptions")
    by_id = sorted(book.plans.values(), key=lambda p: p["plan_id"])
    equal(client.good("/api/plans"),
          [{"plan_id": p["plan_id"], "name": p.get("name", p["plan_id"]),
            "price_amount": oracle.money(pico(p["price_amount"])),
            "interval_months": p["interval_months"], "billing_model": p.get("billing_model")}
           for p in sorted(by_id, key=lambda p: p["price_amount"])], "plans")


def check_movements(client, book, now):
    wanted = []
    sums = dict.fromkeys(["new", "expansion", "contraction", "churned", "stable"], 0)
    for customer in {s["customer_id"] for s in book.subscriptions}:
        current, prior = book.mrr(customer), book.prior(customer, now)
        category = ("stable" if current == prior else "new" if prior == 0 else
                    "churned" if current == 0 else
                    "expansion" if current > prior else "contraction")
        sums[category] += abs(current - prior)
        if current or prior:
            wanted.append({"customer_id": customer, "customer_name": book.name(customer),
                           "category": category, "current_mrr": oracle.money(current),
                           "prior_mrr": oracle.money(prior),
                           "change": oracle.money(current - prior)})
    wanted.sort(key=lambda row: (-abs(row["change"]), row["customer_id"]))
    answer = client.good("/api/analytics/mrr-movements")
    equal(answer["movements"], wanted, "movements")
    net = sums["new"] + sums["expansion"] - sums["contraction"] - sums["churned"]
    equal(answer["summary"],
          {"new_mrr": oracle.money(sums["new"]), "expansion_mrr": oracle.money(sums["expansion"]),
           "contraction_mrr": oracle.money(sums["contraction"]),
           "churned_mrr": oracle.money(sums["churned"]), "net_new_mrr": oracle.money(net)},
          "summary")
    equal(client.good("/api/analytics/mrr-movements?limit=3&offset=2")["movements"], wanted[2:5],
          "a page")


def check_customers(client, book, events, days):
    """`events`: customer -> [(cost, revenue)] of the last days."""
    query = "" if days == 30 else "?days=%s" % (days or "all")
    rows = client.good("/api/customers" + query)["data"]
    everybody = set(events) | set(book.customers) | {s["customer_id"] for s in book.subscriptions}
    equal({row["customer_id"] for row in rows}, everybody, "customers")
    equal([row["created_at"] for row in rows],
          sorted((row["created_at"] for row in rows), reverse=True), "newest first")
    for row in rows:
        customer = row["customer_id"]
        known = book.customers.get(customer, {})
        mrr = book.mrr(customer)
        cost = sum(c for c, _ in events.get(customer, []))
        earned = sum(r for _, r in events.get(customer, [])) + book.sold(customer)
        share = mrr if days is None else (2 * mrr * days + 30) // 60
        revenue = max(earned, share)
        wanted = {"name": book.name(customer), "email": known.get("email"),
                  "segment": known.get("segment"), "total_cost": oracle.money(cost),
                  "total_revenue": oracle.money(revenue), "mrr": oracle.money(mrr),
                  "margin_pct": oracle.margin(cost, revenue)}
        equal({name: row[name] for name in wanted}, wanted, customer)
        one = client.good(path_of(customer, query))
        equal({name: dict(one["customer"], **one)[name] for name in wanted}, wanted,
              "%s in detail" % customer)
        equal(one["subscriptions"],
              [book.row(s) for s in newest_first(book.subscriptions)
               if s["customer_id"] == customer], "its subscriptions")
    mrr = book.mrr()
    count = len(everybody)
    equal(client.good("/api/metrics/summary"),
          {"total_customers": count,
           "active_subscriptions": sum(s["is_active"] for s in book.subscriptions),
           "mrr": oracle.money(mrr), "arr": oracle.money(12 * mrr),
           "arpc": oracle.money((2 * mrr + count) // (2 * count))}, "summary")


def check_names(client, book):
    for row in client.good("/api/events/by-customer?days=all"):
        equal(row["customer_name"], book.name(row["customer_id"]), "by customer")
    for found in client.good("/api/events?limit=200")["events"]:
        equal(found["customer_name"], book.name(found["customer_id"]), "an event")
        one = client.good("/api/events/%d" % found["id"])
        equal(one["customer_name"], found["customer_name"], "one event")
    for row in client.good("/api/features/f")["by_customer"]:
        equal(row["customer_name"], book.name(row["customer_id"]), "of a feature")


def test_figures(context):
    """Everything that follows from an upload, from the next one, and after restarts."""
    with context.server() as server:
        client = server.client()
        chance = random.Random(9)
        names = ["c-%02d" % n for n in range(20)] + ["a/b", "ü"]
        events = {}
        sent = []
        for _ in range(60):
            name = chance.choice(names + ["only-events", "_internal_x"])
            cost, revenue = round(chance.uniform(0, 50), 6), round(chance.uniform(0, 90), 6)
            sent.append(event(name, costAmount=cost, revenueAmount=revenue))
            internal = name.startswith("_internal")
            events.setdefault(name, []).append((pico(cost), 0 if internal else pico(revenue)))
        client.ingest(sent)
        for turn in range(2):
            now = now_ms()
            plans = make_plans(chance)
            book = Book(make_customers(chance, chance.sample(names, 15)), plans,
                        make_subscriptions(chance, names, plans, now))
            upload(client, book.body())
            for hard in (None, False, True):
                if hard is not None:
                    server.restart(hard)
                    client = server.client()
                check_lists(client, book)
                check_movements(client, book, now)
                for days in (30, 15, None):
                    check_customers(client, book, events, days)
                check_names(client, book)


def test_uploaded_and_by_hand(context):
    """An upload keeps what was set by hand, and when a customer was first known."""
    with context.server() as server:
        client = server.client()
        client.ingest([event("seen")])
        first = client.good(path_of("seen"))["customer"]["created_at"]
        client.send("PATCH", path_of("held", "/internal"), {"is_internal": True})
        body = {"customers": [{"customer_id": name, "name": name.upper()}
                              for name in ("seen", "held", "gone")]}
        time.sleep(0.005)
        upload(client, body)

        def found():
            return {row["customer_id"]: (row["name"], row["is_internal"])
                    for row in pages(client, 100)}

        equal(found(), {"seen": ("SEEN", False), "held": ("HELD", True), "gone": ("GONE", False)},
              "uploaded")
        one = client.good(path_of("seen"))["customer"]
        equal(one["created_at"], first, "since its first event")
        ensure(one["updated_at"] > first, "updated since")
        upload(client, {"customers": [{"customer_id": "held", "is_internal": False}]})
        equal(found(), {"seen": ("seen", False), "held": ("held", False)}, "the next upload")
        client.send("PATCH", path_of("held", "/internal"), {"is_internal": True})
        upload(client, {"customers": []})
        equal(found(), {"seen": ("seen", False), "held": ("held", True)}, "an empty upload")
        before = pages(client, 100)
        upload(client, {"customers": [{"customer_id": "x"}, {"customer_id": "x"}]}, 400)
        upload(client, {"subscriptions": [{"customer_id": "x", "plan_id": "none"}]}, 400)
        equal(pages(client, 100), before, "a failed upload changes nothing")
        server.restart()
        client = server.client()
        equal(pages(client, 100), before, "after a restart")


def test_paths(context):
    with context.server() as server:
        client = server.client()
        equal(client.good("/api/subscriptions"), {"data": [], "total": 0, "limit": 100,
                                                  "offset": 0}, "no subscriptions")
        equal(client.good("/api/plans"), [], "no plans")
        equal(client.good("/api/analytics/mrr-movements")["movements"], [], "no movements")
        equal(client.good("/metrics/summary")["arpc"], Decimal(0), "nobody")
        page = client.get("/api/subscriptions?limit=1000&offset=9007199254740991",
                          odd=True).json
        equal((page["limit"], page["data"]), (500, []), "a page")


def test_larger_of_two(context):
    """The example of the README: 90 a month, and events that earned 30 in one week."""
    with context.server() as server:
        client = server.client()
        today = datetime.datetime.now(datetime.timezone.utc).date()
        earlier = today - datetime.timedelta(days=3)
        sent = [{"eventName": "e", "customerReferenceId": name, "featureKey": "f",
                 "revenueAmount": 15, "timestamp": "%sT12:00:00Z" % earlier}
                for name in ("payer", "_internal-payer") for _ in range(2)]
        equal(client.ingest(sent)["accepted"], 4, "events")
        sales = {"plans": [{"plan_id": "p", "price_amount": 1080, "interval_months": 12}],
                 "subscriptions": [{"customer_id": name, "plan_id": "p"}
                                   for name in ("payer", "_internal-payer")]}
        equal(client.send("POST", "/api/data/upload/revenue", sales).status, 200, "sales")
        equal(client.good("/api/metrics/summary")["mrr"], 180, "internal ones count, too")
        for days, mine, internal in ((7, 30, 21), (30, 90, 90), (60, 180, 180)):
            first = today - datetime.timedelta(days=days)
            query = "date_from=%s&date_to=%s" % (first, today - datetime.timedelta(days=1))
            rows = client.good("/api/analytics/customer-pnl?" + query)["customers"]
            equal({row["customer_id"]: row["total_revenue"] for row in rows},
                  {"payer": mine, "_internal-payer": internal}, "in %d days" % days)
