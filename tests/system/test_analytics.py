"""Features, models, customers and analytics against plain sums over all events."""

import random
import time
from collections import defaultdict
from decimal import Decimal

import figures
import oracle
import scenario
from figures import DAY
from harness import ensure, equal, once

MODELS = [("gpt-4o-mini", "openai"), ("gpt-4o", "openai"), ("claude-sonnet-4-5", "anthropic"),
          ("no-such-model", "acme-ai"), (None, None)]


def ceil_free(numerator, denominator):
    """floor(x + 1/2) of a fraction, in integers."""
    return (2 * numerator + denominator) // (2 * denominator)


def average(total, count):
    return oracle.money(ceil_free(total, count))


def make(seed, count, now):
    """Events of more than a year: credits, events without model or tokens, revenue or not."""
    chance = random.Random(seed)
    events = []
    for number in range(count):
        model, provider = chance.choice(MODELS)
        age = chance.choice([0, DAY, 9 * DAY, 40 * DAY, 100 * DAY, 200 * DAY, 420 * DAY])
        event = {"eventName": chance.choice(["chat", "revenue", "embed"]),
                 "customerReferenceId": "customer-%02d" % chance.randrange(30),
                 "featureKey": "feature-%d" % chance.randrange(6),
                 "timestamp": oracle.iso(now - age - chance.randrange(20 * DAY)),
                 "idempotencyKey": "a-%d-%d" % (seed, number)}
        if model:
            event.update(model=model, modelProvider=provider)
        if chance.random() < 0.8:
            event["inputTokens"] = chance.randrange(200000)
        if chance.random() < 0.8:
            event["outputTokens"] = chance.randrange(9000)
        if chance.random() < 0.2:
            event["costAmount"] = round(chance.uniform(-3, 9), 7)
        if chance.random() < 0.5:
            event["revenueAmount"] = round(chance.uniform(-1, 20), 6)
        events.append(event)
    return events


def totals(events):
    return (len(events), sum(e.counted_cost for e in events), sum(e.revenue for e in events),
            sum(e.usage for e in events))


def grouped(events, key):
    groups = defaultdict(list)
    for event in events:
        groups[key(event)].append(event)
    return groups


def by_cost(groups):
    def order(item):
        names = item[0] if isinstance(item[0], tuple) else (item[0],)
        return -totals(item[1])[1], tuple((n or "").encode() for n in names)

    return sorted(groups.items(), key=order)


def sums(events):
    count, cost, revenue, _ = totals(events)
    return {"event_count": count, "total_cost": oracle.money(cost),
            "total_revenue": oracle.money(revenue)}


def usage(events):
    return {"total_usage": Decimal(totals(events)[3]).scaleb(-6)}


def tail(events):
    _, cost, revenue, _ = totals(events)
    return {"margin_pct": oracle.margin(cost, revenue),
            "last_seen": oracle.iso(max(e.ms for e in events))}


def month_rows(events):
    return [dict(month=month, **sums(part), **usage(part))
            for month, part in sorted(grouped(events, lambda e: oracle.iso(e.ms)[:7]).items())]


def feature_row(key, events):
    count, cost, revenue, _ = totals(events)
    return dict(feature_key=key, customer_count=len({e.customer for e in events}),
                avg_cost_per_event=average(cost, count),
                avg_revenue_per_event=average(revenue, count), **sums(events), **usage(events),
                **tail(events))


def allocate(events, mrr, length):
    """By feature: revenue of its events and its parts of what subscriptions earn beyond events."""
    allocated = defaultdict(int)
    for customer, part in grouped(events, lambda e: e.customer).items():
        _, cost, earned, _ = totals(part)
        features = sorted(grouped(part, lambda e: e.feature).items(), key=lambda i: i[0].encode())
        weights = [totals(own)[1] if cost else len(own) for _, own in features]
        extra = max(revenue_of(earned, mrr.get(customer, 0), length) - earned, 0)
        running = given = 0
        for (feature, own), weight in zip(features, weights):
            running += weight
            sign = 1 if sum(weights) > 0 else -1
            due = ceil_free(extra * running * sign, sum(weights) * sign)
            allocated[feature] += totals(own)[2] + due - given
            given = due
    rows = pnl_rows(events, mrr, length)
    equal(sum(allocated.values()), sum(row[2] for row in rows.values() if row[3]), "allocation")
    return allocated


def allocated_row(feature, events, allocated):
    cost = totals([e for e in events if e.feature == feature])[1]
    return {"allocated_revenue": oracle.money(allocated[feature]),
            "allocated_margin_pct": oracle.margin(cost, allocated[feature])}


def compare_features(client, book, bounds, query, mrr, length):
    events = book.select(*bounds, revenue=True)
    recent = events if bounds else book.select(figures.window(30), None, revenue=True)
    allocated = allocate(recent, mrr, length)
    rows = [dict(feature_row(k, part), **allocated_row(k, recent, allocated))
            for k, part in by_cost(grouped(events, lambda e: e.feature))]
    figures.same(client, "/api/features" + query, rows)
    figures.same(client, "/features%s%slimit=2&offset=1" % (query, "&" if query else "?"),
                 rows[1:3])
    suggestions = [{"feature_key": row["feature_key"], "unit_label": "call",
                    "suggested_price": Decimal(ceil_free(5 * cost, 2 * count * 10**8)).scaleb(-4),
                    "current_cost_per_unit": average(cost, count), "target_margin_pct": 60,
                    "rationale": None}
                   for row in rows
                   for count, cost in [totals([e for e in events
                                               if e.feature == row["feature_key"]])[:2]]]
    reply = client.send("POST", "/api/analytics/suggest-pricing" + query, {})
    got = reply.json["suggestions"] if reply.status == 200 else []
    for suggestion in got:
        suggestion["rationale"] = None
    equal(oracle.difference(suggestions, got), None, "suggest-pricing" + query)
    equal(reply.status, 200 if rows else 400, "suggest-pricing")
    for row, suggestion in list(zip(rows, suggestions))[:1]:
        one = client.send("POST", "/api/analytics/suggest-pricing" + query,
                          {"feature_key": row["feature_key"]}).json["suggestions"]
        equal([dict(found, rationale=None) for found in one], [suggestion], "of one feature")
    for body in ({"feature_key": "nothing"}, {"feature_key": 5}, {"feature_key": ""}, []):
        equal(client.send("POST", "/api/analytics/suggest-pricing", body, odd=True).status, 400,
              "body %r" % body)
    for row in rows[:2]:
        compare_feature(client, row, [e for e in events if e.feature == row["feature_key"]], query)


def compare_feature(client, row, events, query):
    got = client.good("/api/features/%s%s" % (row["feature_key"], query))
    recent = got.pop("recent_events")
    times = sorted((e.ms for e in events), reverse=True)[:50]
    equal([e["timestamp"] for e in recent], [oracle.iso(ms) for ms in times], "recent events")
    expected = dict(row, timeseries=month_rows(events))
    expected["by_customer"] = [
        dict(customer_id=k, customer_name=k, **sums(part), **tail(part))
        for k, part in by_cost(grouped(events, lambda e: e.customer))]
    expected["by_model"] = [
        dict(model=k[0], model_provider=k[1], **sums(part), **usage(part), **tail(part))
        for k, part in by_cost(grouped([e for e in events if e.model],
                                       lambda e: (e.model, e.provider)))]
    equal(oracle.difference(expected, got), None, "feature " + row["feature_key"])


def compare_models(client, book, bounds, query, now):
    events = [e for e in book.select(*bounds, revenue=True) if e.model]
    rows = []
    for (model, provider), part in by_cost(grouped(events, lambda e: (e.model, e.provider))):
        count, cost, _, _ = totals(part)
        entry = book.prices.find(provider, model)
        rates = book.prices.listing(entry, now) if entry else (None, None)
        rows.append(dict(
            model=model, model_provider=provider, customer_count=len({e.customer for e in part}),
            feature_count=len({e.feature for e in part}),
            total_input_tokens=sum(e.input or 0 for e in part),
            total_output_tokens=sum(e.output or 0 for e in part),
            avg_cost_per_event=average(cost, count), input_cost_per_million=rates[0],
            output_cost_per_million=rates[1], **sums(part), **usage(part), **tail(part)))
    figures.same(client, "/api/models" + query, rows)


def days(first_ms, last_ms):
    return [oracle.iso(d * DAY)[:10] for d in range(first_ms // DAY, last_ms // DAY + 1)]


def compare_days(client, book, start, query, now):
    events = book.select(start, None, revenue=True)
    groups = grouped(events, lambda e: oracle.iso(e.ms)[:10])
    expected = [{"day": d, "cost": oracle.money(t[1]), "revenue": oracle.money(t[2]),
                 "event_count": t[0]} for d in days(start, now) for t in [totals(groups[d])]]
    figures.same(client, "/api/analytics/daily-summary" + query, {"data": expected})


def compare_tokens(client, book, start, query, now):
    series = []
    groups = grouped(book.select(start, None, revenue=True), lambda e: oracle.iso(e.ms)[:10])
    for day in days(start, now):
        cost = [Decimal(0), Decimal(0)]
        for event in groups[day]:
            entry = book.prices.find(event.provider, event.model) if event.model else None
            if entry and event.input is not None and event.output is not None:
                rates = book.prices.listing(entry, now)
                cost[0] += event.input * (rates[0] or 0)
                cost[1] += event.output * (rates[1] or 0)
        rounded = [Decimal(int((c / 100 + Decimal("0.5")) // 1)).scaleb(-4) for c in cost]
        series.append({"date": day, "input_cost": rounded[0], "output_cost": rounded[1]})
    figures.same(client, "/api/analytics/cost-by-token-type" + query, {"series": series})


def month_number(ms):
    year, month = oracle.iso(ms)[:7].split("-")
    return int(year) * 12 + int(month) - 1


def change(now, before):
    return None if before == 0 else Decimal(ceil_free((now - before) * 1000, abs(before))) / 10


def compare_months(client, book, wanted, query, now):
    events = [e for e in book.select(revenue=True)
              if 0 <= month_number(now) - month_number(e.ms) < wanted]
    months, before = [], (0, 0, 0)
    for month, part in sorted(grouped(events, lambda e: oracle.iso(e.ms)[:7]).items()):
        count, cost, revenue, _ = totals(part)
        months.append({
            "month": month, "cost": oracle.money(cost), "revenue": oracle.money(revenue),
            "margin_pct": oracle.margin(cost, revenue), "event_count": count,
            "active_customers": len({e.customer for e in part}),
            "active_features": len({e.feature for e in part}),
            "models_used": len({(e.model, e.provider) for e in part if e.model}),
            "cost_change_pct": change(cost, before[1]),
            "revenue_change_pct": change(revenue, before[2]),
            "event_count_change_pct": change(count, before[0])})
        before = (count, cost, revenue)
    figures.same(client, "/api/analytics/trends" + query,
                 {"months": months, "period_months": wanted})


def compare_retention(client, book, now):
    cohorts = grouped(grouped(book.events, lambda e: e.customer).values(),
                      lambda part: min(month_number(e.ms) for e in part))
    expected = []
    for first, customers in sorted(cohorts.items()):
        age = month_number(now) - first
        if age < 12:
            active = [sum(any(month_number(e.ms) == first + i for e in part)
                          for part in customers) for i in range(age + 1)]
            expected.append({
                "cohort_month": "%04d-%02d" % (first // 12, first % 12 + 1),
                "size": len(customers),
                "retention": [ceil_free(a * 100, len(customers)) for a in active]})
    figures.same(client, "/api/analytics/retention", {"cohorts": expected})


def compare_confidence(client, book, start, query):
    events = book.select(start, None, revenue=True)
    _, cost, revenue, _ = totals(events)
    rows = []
    for source, part in grouped(events, lambda e: e.revenue_source).items():
        count, spent, earned, _ = totals(part)
        rows.append({"source": source, "event_count": count, "revenue": oracle.money(earned),
                     "cost": oracle.money(spent), "pct_of_revenue":
                     Decimal(ceil_free(earned * 1000, revenue)) / 10 if revenue > 0 else 0})
    rows.sort(key=lambda row: (-row["revenue"], row["source"]))
    weighed = sum(e.revenue for e in events if e.revenue_source == "explicit")
    score = ceil_free(weighed * 100, revenue) if revenue > 0 else 0
    label = ("High" if score >= 80 else "Medium" if score >= 50 else
             "Low" if score >= 20 else "Very Low")
    figures.same(client, "/api/analytics/revenue-confidence" + query,
                 {"breakdown": rows, "confidence_score": score, "confidence_label": label,
                  "total_revenue": oracle.money(revenue), "total_cost": oracle.money(cost)})


def revenue_of(earned, monthly, length):
    """A customer's revenue in a window of so many ms."""
    return max(earned, ceil_free(monthly * length, 30 * DAY))


def unprofitable(cost, revenue):
    percent = oracle.margin(cost, revenue)
    return percent < 0 if percent is not None else revenue == 0 and cost > 0


def pnl_rows(events, mrr, length):
    """By customer: cost, revenue of events and of all, events."""
    rows = {}
    groups = grouped([e for e in events if e.customer], lambda e: e.customer)
    for customer in set(groups) | set(mrr):
        count, cost, earned, _ = totals(groups.get(customer, []))
        revenue = revenue_of(earned, mrr.get(customer, 0), length)
        rows[customer] = (cost, earned, revenue, count, groups.get(customer, []))
    return rows


def top_feature(events):
    groups = grouped(events, lambda e: e.feature)
    return min(groups, key=lambda f: (-totals(groups[f])[1], f.encode())) if groups else None


def compare_pnl(client, events, mrr, length, query):
    def order(item):
        percent = oracle.margin(item[1][0], item[1][2])
        return (percent is not None, percent or 0, -item[1][0], item[0].encode())

    rows = [{"customer_id": customer, "customer_name": customer,
             "total_revenue": oracle.money(revenue), "total_cost": oracle.money(cost),
             "margin_pct": oracle.margin(cost, revenue), "event_count": count,
             "unprofitable": unprofitable(cost, revenue), "top_cost_feature": top_feature(part),
             "event_revenue": oracle.money(earned),
             "subscription_mrr": oracle.money(mrr.get(customer, 0)),
             "profit": oracle.money(revenue - cost)}
            for customer, (cost, earned, revenue, count, part)
            in sorted(pnl_rows(events, mrr, length).items(), key=order)]
    path = "/api/analytics/customer-pnl" + query
    figures.same(client, path, {"customers": rows})
    more = path + ("&" if query else "?")
    figures.same(client, more + "limit=5", {"customers": rows[:5]})
    figures.same(client, more + "limit=4&offset=3", {"customers": rows[3:7]})
    figures.same(client, more + "offset=9999999999", {"customers": []})


def compare_alerts(client, events, before, mrr, length, query):
    alerts = []

    def alert(kind, critical, entity, value, lost, more=""):
        names = ["negative_margin_customer", "unprofitable_feature", "model_cost_spike",
                 "high_cost_ratio"]
        alerts.append(((not critical, -lost, names.index(kind), entity.encode(), more.encode()),
                       {"type": kind, "severity": "critical" if critical else "warning",
                        "entity_id": entity, "metric_value": value}))

    def worst(cost, revenue):
        return -100 if revenue <= 0 else oracle.margin(cost, revenue)

    for customer, (cost, _, revenue, _, _) in pnl_rows(events, mrr, length).items():
        share = revenue_of(0, mrr.get(customer, 0), length)
        if cost > revenue:
            alert("negative_margin_customer", True, customer, worst(cost, revenue),
                  cost - revenue)
        if share > 0 and 2 * cost > share:
            value = ceil_free(cost * 100, share)
            alert("high_cost_ratio", value >= 100, customer, value, cost - share)
    for feature, part in grouped(events, lambda e: e.feature).items():
        _, cost, earned, _ = totals(part)
        if cost > earned:
            alert("unprofitable_feature", False, feature, worst(cost, earned), cost - earned)
    old = grouped([e for e in before if e.model], lambda e: (e.model, e.provider))
    for key, part in grouped([e for e in events if e.model],
                             lambda e: (e.model, e.provider)).items():
        cost, was = totals(part)[1], totals(old.get(key, []))[1]
        if was > 0 and 10 * cost > 12 * was:
            alert("model_cost_spike", False, key[0], ceil_free((cost - was) * 100, was),
                  cost - was, key[1] or "")
    expected = [found for _, found in sorted(alerts, key=lambda item: item[0])]
    got = client.good("/api/analytics/margin-alerts" + query)["alerts"]
    for found in got:
        for text in ("title", "description"):
            equal(type(found.pop(text)), str, text)
    equal(oracle.difference(expected, got), None, "margin-alerts" + query)
    part = client.good("/api/analytics/margin-alerts%slimit=2&offset=1"
                       % (query + "&" if query else "?"))["alerts"]
    equal([a["entity_id"] for a in part], [a["entity_id"] for a in expected[1:3]], "page")
    return {found["type"] for found in expected}


def overview_totals(events, mrr, length):
    rows = pnl_rows(events, mrr, length)
    nobody = totals([e for e in events if not e.customer])[2]
    count, cost, _, _ = totals(events)
    return rows, count, cost, sum(row[2] for row in rows.values()) + nobody


def compare_overview(client, events, before, mrr, length, start, end, query, now):
    rows, count, cost, revenue = overview_totals(events, mrr, length)
    _, count_before, cost_before, revenue_before = overview_totals(before, mrr, length)
    groups = grouped(events, lambda e: oracle.iso(e.ms)[:10])
    percent = [oracle.margin(cost, revenue), oracle.margin(cost_before, revenue_before)]
    top = sorted((item for item in rows.items() if item[1][3]),
                 key=lambda item: (-item[1][0], item[0].encode()))[:5]
    features = by_cost(grouped(events, lambda e: e.feature))
    models = by_cost(grouped([e for e in events if e.model], lambda e: (e.model, e.provider)))

    def margin_of(part):
        return {"margin_pct": oracle.margin(*totals(part)[1:3])}

    expected = {
        "total_cost": oracle.money(cost), "total_revenue": oracle.money(revenue),
        "gross_profit": oracle.money(revenue - cost), "margin_pct": percent[0],
        "event_count": count,
        "active_customers": sum(1 for row in rows.values() if row[3]),
        "active_features": len(features), "models_used": len(models),
        "avg_cost_per_event": average(cost, count) if count else None,
        "input_tokens": sum(e.input or 0 for e in events),
        "output_tokens": sum(e.output or 0 for e in events),
        "mrr": oracle.money(sum(mrr.values())),
        "unprofitable_customers": sum(unprofitable(row[0], row[2]) for row in rows.values()),
        "previous": {"total_cost": oracle.money(cost_before),
                     "total_revenue": oracle.money(revenue_before), "margin_pct": percent[1],
                     "event_count": count_before},
        "change": {"cost_pct": change(cost, cost_before),
                   "revenue_pct": change(revenue, revenue_before),
                   "event_count_pct": change(count, count_before),
                   "margin_pp": None if None in percent else percent[0] - percent[1]},
        "top_customers": [
            {"customer_id": customer, "customer_name": customer, "event_count": row[3],
             "total_cost": oracle.money(row[0]), "total_revenue": oracle.money(row[2]),
             "margin_pct": oracle.margin(row[0], row[2])} for customer, row in top],
        "top_features": [dict(feature_key=key, **sums(part), **margin_of(part))
                         for key, part in features[:5]],
        "top_models": [dict(model=key[0], model_provider=key[1], **sums(part), **margin_of(part))
                       for key, part in models[:5]],
        "daily": [{"day": d, "cost": oracle.money(t[1]), "revenue": oracle.money(t[2]),
                   "event_count": t[0]}
                  for d in days(start, end - 1) for t in [totals(groups[d])]]}
    got = client.good("/api/analytics/overview" + query)
    period = got.pop("period")
    equal(oracle.difference(expected, got), None, "overview" + query)
    equal((period["days"], period["from"]), (-(-length // DAY), oracle.iso(start)), "period")


def compare_revenue(client, book, mrr, kinds):
    """Customers' profit and loss, alerts and the overview, in the windows that differ."""
    now = int(time.time() * 1000)
    for number, query in ((30, ""), (7, "?days=7"), (90, "?days=90"), (1, "?days=1")):
        start = figures.window(number)
        events = book.select(start, None, revenue=True)
        before = book.select(start - number * DAY, start, revenue=True)
        compare_pnl(client, events, mrr, number * DAY, query)
        kinds |= compare_alerts(client, events, before, mrr, number * DAY, query)
        compare_overview(client, events, before, mrr, number * DAY, start, now + 1, query, now)
    start = oracle.parse_ms(oracle.iso(now - 50 * DAY)[:10] + "T00:00:00Z") + 1234567
    end = start + 20 * DAY + 7654321
    query = "?date_from=%s&date_to=%s" % (oracle.iso(start), oracle.iso(end - 1))
    events = book.select(start, end, revenue=True)
    before = book.select(start - (end - start), start, revenue=True)
    compare_pnl(client, events, mrr, end - start, query)
    kinds |= compare_alerts(client, events, before, mrr, end - start, query)
    compare_overview(client, events, before, mrr, end - start, start, end, query, now)
    compare_pnl(client, book.select(revenue=True), mrr, 30 * DAY, "?days=all")


def compare_all(client, book, mrr=None):
    now = int(time.time() * 1000)
    mrr = mrr or {}
    kinds = set()
    compare_revenue(client, book, mrr, kinds)
    equal(kinds, {"negative_margin_customer", "unprofitable_feature", "model_cost_spike"}
          | ({"high_cost_ratio"} if mrr else set()) if book.events else set(), "kinds of alerts")
    compare_features(client, book, (), "", mrr, 30 * DAY)
    compare_features(client, book, (figures.window(30),), "?days=30", mrr, 30 * DAY)
    compare_features(client, book, (figures.window(7),), "?days=7", mrr, 7 * DAY)
    compare_models(client, book, (), "", now)
    compare_models(client, book, (figures.window(90),), "?days=90", now)
    first = oracle.parse_ms(oracle.iso(now - 50 * DAY)[:10] + "T00:00:00Z")
    bounds = (first + 1234567, first + 20 * DAY + 7654321)
    compare_features(client, book, bounds, "?date_from=%s&date_to=%s"
                     % (oracle.iso(bounds[0]), oracle.iso(bounds[1] - 1)), mrr,
                     bounds[1] - bounds[0])
    for number in (30, 7, 1, 90):
        query = "" if number == 30 else "?days=%d" % number
        compare_days(client, book, figures.window(number), query, now)
        compare_tokens(client, book, figures.window(number), query, now)
        compare_confidence(client, book, figures.window(number), query)
    compare_days(client, book, figures.window(90), "?days=400", now)
    compare_tokens(client, book, figures.window(365), "?days=400", now)
    for wanted, query in ((12, ""), (24, "?months=99"), (3, "?months=3"), (12, "?months=x")):
        compare_months(client, book, wanted, query, now)
    compare_retention(client, book, now)
    events = book.select(revenue=True)
    figures.same(client, "/api/metrics/source-breakdown",
                 {"sources": [dict(source="sdk", **sums(events))] if events else [],
                  "total_events": len(events)})
    for customer in ("customer-01", "nobody"):
        part = [e for e in events if e.customer == customer]
        figures.same(client, "/api/customers/%s/timeseries" % customer,
                     {"timeseries": month_rows(part)})


def test_reading(context):
    book = oracle.Book()
    with context.server() as server:
        client = server.client()
        compare_all(client, book)
        equal(client.get("/api/features/nothing").status, 404, "unknown feature")
        scenario.send(client, book, make(1, 1500, int(time.time() * 1000)))
        compare_all(client, book)
        server.restart()
        compare_all(server.client(), book)
        scenario.send(server.client(), book, make(2, 300, int(time.time() * 1000)))
        server.restart(hard=True)
        compare_all(server.client(), book)


@once
def test_two_accounts(context):
    """Customers, features and models of the same names are each account's own."""
    with context.server() as server:
        context.tool("marginctl", "--data-dir", server.dir, "account", "create", "globex")
        made = context.tool("marginctl", "--data-dir", server.dir, "key", "create", "--name", "g",
                            "--account", "globex")
        first, second = server.client(), server.client(made.stdout.split()[0])
        books = oracle.Book(), oracle.Book()
        now = int(time.time() * 1000)
        for turn in range(2):
            for client, book, seed in ((first, books[0], 11), (second, books[1], 12)):
                scenario.send(client, book, make(seed + 10 * turn, 300, now))
            compare_all(first, books[0])
            compare_all(second, books[1])


@once
def test_token_costs_follow_prices(context):
    """What is kept of days that are over is at the prices of now, with events that come late."""
    with context.server() as server:
        client = server.client()
        when = [int(time.time() * 1000) - days * DAY for days in (0, 2, 2, 40)]

        def send(times):
            client.ingest([{"eventName": "e", "customerReferenceId": "c", "featureKey": "f",
                            "model": "own", "inputTokens": 10 ** 6, "outputTokens": 10 ** 6,
                            "timestamp": oracle.iso(ms)} for ms in times])

        def same(price_in, price_out, counts):
            for _ in range(2):  # made, then kept
                series = client.good("/api/analytics/cost-by-token-type?days=60")["series"]
                seen = {row["date"]: (row["input_cost"], row["output_cost"]) for row in series
                        if row["input_cost"] != 0}
                equal(seen, {oracle.iso(ms)[:10]: (price_in * n, price_out * n)
                             for ms, n in counts.items()}, "costs of days")

        send(when)
        counts = {when[0]: 1, when[1]: 2, when[3]: 1}
        for price_in, price_out in ((3, 5), (4, 7)):
            body = {"input_cost_per_million": price_in, "output_cost_per_million": price_out}
            reply = client.send("PUT", "/api/pricing/models/own", body)
            equal(reply.status, 200, "price")
            same(price_in, price_out, counts)
        send([when[3]])
        same(4, 7, {**counts, when[3]: 2})


@once
def test_subscriptions(context):
    """What customers pay by the month is in their revenue, in alerts and in features' parts."""
    with context.server() as server:
        client, book = server.client(), oracle.Book()
        chance = random.Random(21)
        now = int(time.time() * 1000)
        scenario.send(client, book, make(21, 1200, now))
        mrr = {}
        for number in list(range(0, 30, 2)) + [97, 98]:
            mrr["customer-%02d" % number] = chance.randrange(1, 6000) * 10 ** 10
        body = {"subscriptions": [
            {"customer_id": customer, "mrr_override": float(oracle.money(amount)),
             "created_at": oracle.iso(now - 3 * DAY)} for customer, amount in mrr.items()]}
        equal(client.send("POST", "/api/data/upload/revenue", body).status, 200, "upload")
        stored = client.good("/api/features/subscription")["recent_events"]
        equal(len(stored), len(mrr), "events of the upload")
        for event in stored:
            book.add({"eventName": "revenue", "featureKey": "subscription",
                      "customerReferenceId": event["customer_id"],
                      "revenueAmount": event["revenue_amount"],
                      "timestamp": event["timestamp"], "idempotencyKey": event["customer_id"]})
        for hard in (None, False, True):
            if hard is not None:
                server.restart(hard)
            client, kinds = server.client(), set()
            compare_revenue(client, book, mrr, kinds)
            equal(kinds, {"negative_margin_customer", "unprofitable_feature", "model_cost_spike",
                          "high_cost_ratio"}, "kinds of alerts")
            compare_features(client, book, (), "", mrr, 30 * DAY)
            for number in (7, 45, 90):
                compare_features(client, book, (figures.window(number),), "?days=%d" % number, mrr,
                                 number * DAY)


def test_credits_that_cancel(context):
    """A subscription follows costs, but not what credits leave of nearly all of them."""
    with context.server() as server:
        client = server.client()

        def event(customer, feature, cost, count=1):
            return [{"eventName": "e", "customerReferenceId": customer, "featureKey": feature,
                     "costAmount": cost}] * count

        client.ingest(event("a", "x", 9000000) + event("a", "y", -8999990, 3)
                      + event("b", "x", 9000000, 3) + event("b", "y", -9000000, 2)
                      + event("b", "y", -8999999.99))
        sales = {"plans": [{"plan_id": "p", "price_amount": 100}],
                 "subscriptions": [{"customer_id": c, "plan_id": "p"} for c in ("a", "b")]}
        equal(client.send("POST", "/api/data/upload/revenue", sales).status, 200, "sales")
        # In 60 days each subscription is 200, of which its event is 100; the rest is split.
        rows = {row["feature_key"]: row["allocated_revenue"]
                for row in client.good("/api/features?days=60")}
        # Of a, whose costs leave -17999970: by cost. Of b, whose leave a cent: by events.
        of_a = Decimal(100) * 9000000 / -17999970
        of_b = Decimal(100) * 3 / 7
        ensure(abs(rows["x"] - (of_a + of_b)) < Decimal("1e-11"), "x: %s" % rows["x"])
        equal(sum(rows.values()), 400, "all of it")
