"""What the figures must be, computed again from the events alone.

Nothing here is shared with the server: prices are read from the JSON table by rules written a
second time, money is whole picodollars in Python integers, and every figure is a plain sum.
"""

import json
import os
import re
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

PICO = 10**12
MICRO = 10**6
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DATA = os.path.join(ROOT, "engine", "price", "data")

SNAPSHOT = re.compile(r"(-20\d\d-\d\d-\d\d|-20\d{6}|@20\d{6})$")
REGIONS = ("us.", "us-gov.", "eu.", "apac.", "jp.", "au.", "ca.", "in.", "global.")


def scaled(value, scale):
    """A JSON number as an integer count of 1/scale, half to even past it."""
    with localcontext() as context:
        context.prec = 60
        return int((Decimal(str(value)) * scale).to_integral_value(ROUND_HALF_EVEN))


def money(pico):
    return Decimal(pico).scaleb(-12)


def iso(ms):
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + "%03dZ" % (ms % 1000)


def parse_ms(text):
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    delta = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return delta // timedelta(milliseconds=1)


def margin(cost, revenue, scale=1):
    """R0 (scale 1) or R1 (scale 10) of the margin in percent; None without revenue."""
    if revenue <= 0:
        return None
    rounded = ((revenue - cost) * 200 * scale + revenue) // (2 * revenue)
    return rounded if scale == 1 else Decimal(rounded) / scale


class Prices:
    def __init__(self):
        with open(os.path.join(DATA, "models.json"), encoding="utf-8") as file:
            models = json.load(file)
        with open(os.path.join(DATA, "providers.json"), encoding="utf-8") as file:
            providers = json.load(file)
        self.models = models
        self.exact = {}
        self.prefix = {}
        for entry in models:
            provider = entry["provider"]
            for name in [entry["model"]] + entry.get("aliases", []):
                name = name.lower()
                if name.endswith("*"):
                    self.prefix.setdefault(provider, []).append((name[:-1], entry))
                else:
                    self.exact[(provider, name)] = entry
        self.names = {}
        self.fallback = {}
        self.prefixes = []
        for line in providers:
            provider = line["provider"]
            for name in [provider] + line.get("aliases", []):
                self.names[name] = provider
            self.fallback[provider] = line.get("fallback", [])
            self.prefixes += [(prefix, provider) for prefix in line.get("model_prefixes", [])]

    def canonical(self, text):
        text = text.strip().lower().replace("_", "-").replace(" ", "-")
        if text in self.names:
            return self.names[text]
        head, dot, _ = text.rpartition(".")
        return self.canonical(head) if dot else None

    def infer(self, model):
        if "/" in model:
            provider = self.canonical(model.split("/")[0])
            if provider is not None:
                return provider
        low = model.strip().lower()
        found = [pair for pair in self.prefixes if low.startswith(pair[0])]
        return max(found, key=lambda pair: len(pair[0]))[1] if found else None

    def within(self, provider, name):
        if (provider, name) in self.exact:
            return self.exact[(provider, name)]
        cut = SNAPSHOT.sub("", name)
        if cut != name and (provider, cut) in self.exact:
            return self.exact[(provider, cut)]
        found = [pair for pair in self.prefix.get(provider, []) if name.startswith(pair[0])]
        if found:
            return max(found, key=lambda pair: len(pair[0]))[1]
        if provider == "bedrock":
            for region in REGIONS:
                if name.startswith(region):
                    return self.within(provider, name[len(region):])
        return None

    def find(self, provider, model):
        canonical = self.canonical(provider) if provider else self.infer(model)
        if canonical is None:
            return None
        name = model.strip().lower()
        for candidate in [canonical] + self.fallback.get(canonical, []):
            entry = self.within(candidate, name)
            if entry is None and "/" in name:
                entry = self.within(candidate, name.split("/", 1)[1])
            if entry is not None:
                return entry
        return None

    @staticmethod
    def in_force(entry, ms):
        rates = entry
        for period in entry.get("periods", []):
            if period["from"] is None or period["from"] <= iso(ms)[:10]:
                rates = period
        return rates

    def cost(self, entry, ms, tokens):
        """Picodollars; tokens is (input, output, cached, write, reasoning)."""
        rates = dict(self.in_force(entry, ms))
        for window in rates.get("hours", []):
            clock = iso(ms)[11:16]
            begin, end = window["from"], window["to"]
            inside = begin <= clock < end if begin <= end else clock >= begin or clock < end
            if inside:
                rates.update(window)
        for tier in rates.get("tiers", []):
            if tokens[0] > tier["above_input_tokens"]:
                rates.update(tier)

        def rate(name, default):
            return scaled(rates[name], MICRO) if name in rates else default

        price_in = rate("input_per_mtok", 0)
        price_out = rate("output_per_mtok", 0)
        total, output, cached, write, reasoning = tokens
        result = (total - cached - write) * price_in
        result += cached * rate("cached_input_per_mtok", price_in)
        result += write * rate("cache_write_per_mtok", price_in)
        result += (output - reasoning) * price_out
        result += reasoning * rate("reasoning_per_mtok", price_out)
        return result + scaled(rates.get("request_fee", "0"), PICO)

    def listing(self, entry, now_ms):
        rates = self.in_force(entry, now_ms)

        def price(name):
            return Decimal(rates[name]) if name in rates else None

        return price("input_per_mtok"), price("output_per_mtok")


class Event:
    """One stored event: what the server must remember of a request's JSON object."""

    def __init__(self, prices, sent, received_ms):
        get = sent.get
        self.sent = sent
        self.id = None
        self.name = get("eventName")
        self.customer = get("customerReferenceId")
        self.feature = get("featureKey")
        self.ms = parse_ms(sent["timestamp"]) if get("timestamp") else received_ms
        self.model = get("model")
        self.provider = get("modelProvider")
        if self.provider is None and self.model:
            self.provider = prices.infer(self.model)
        self.cost_type = get("costType") or ("llm" if self.model else "generic")
        self.unit = (get("costUnit") or "usd").lower()
        self.agent = get("agentId")
        self.trace = get("traceId")
        self.key = get("idempotencyKey") or None
        self.input, self.output = get("inputTokens"), get("outputTokens")
        if get("usageUnits") is not None:
            self.usage = scaled(sent["usageUnits"], MICRO)
        else:
            self.usage = ((self.input or 0) + (self.output or 0)) * MICRO
        self.duration = None
        if get("durationMs") is not None:
            self.duration = int((Decimal(str(sent["durationMs"])) + Decimal("0.5")) // 1)
        self.set_cost(prices)
        self.set_revenue()

    def set_cost(self, prices):
        get = self.sent.get
        self.cost, self.cost_source = 0, "none"
        if get("costAmount") is not None:
            self.cost, self.cost_source = scaled(get("costAmount"), PICO), "explicit"
        elif self.model:
            entry = prices.find(get("modelProvider"), self.model)
            self.cost_source = "unpriced"
            if entry is not None and (self.input is not None or self.output is not None):
                tokens = (self.input or 0, self.output or 0, get("cachedInputTokens") or 0,
                          get("cacheWriteTokens") or 0, get("reasoningTokens") or 0)
                self.cost = prices.cost(entry, self.ms, tokens)
                self.cost_source = "price_table"
        self.counted_cost = self.cost if self.unit == "usd" else 0

    def set_revenue(self):
        self.revenue, self.revenue_source = 0, "none"
        internal = self.customer.startswith("_internal")
        if not internal and self.sent.get("revenueAmount") is not None:
            self.revenue = scaled(self.sent["revenueAmount"], PICO)
            self.revenue_source = "explicit"

    def object(self, prices, now_ms):
        """The event object of the API, without id and created_at."""
        get = self.sent.get
        entry = prices.find(self.provider, self.model) if self.model else None
        rates = prices.listing(entry, now_ms) if entry else (None, None)

        def part(tokens, rate):
            if tokens is None or rate is None:
                return None
            return Decimal(int((Decimal(tokens) * rate + Decimal("0.5")) // 1)).scaleb(-6)

        counts = ("inputTokens", "outputTokens", "cachedInputTokens", "cacheWriteTokens",
                  "reasoningTokens")
        direct = any(get(name) is not None for name in counts)
        meta = get("meta")
        if meta is not None:
            words = {True: "true", False: "false"}
            meta = {name: words[v] if isinstance(v, bool) else str(v) for name, v in meta.items()}
        return {
            "customer_id": self.customer, "customer_name": self.customer,
            "feature_key": self.feature, "event_name": self.name, "timestamp": iso(self.ms),
            "cost_amount": money(self.cost), "cost_unit": self.unit, "cost_type": self.cost_type,
            "cost_source": self.cost_source, "revenue_amount": money(self.revenue),
            "revenue_source": self.revenue_source, "usage_units": Decimal(self.usage).scaleb(-6),
            "input_tokens": self.input, "output_tokens": self.output,
            "cached_input_tokens": get("cachedInputTokens"),
            "cache_write_tokens": get("cacheWriteTokens"),
            "reasoning_tokens": get("reasoningTokens"),
            "input_cost": part(self.input, rates[0]), "output_cost": part(self.output, rates[1]),
            "tokens_source": "direct" if direct else None, "model": self.model,
            "model_provider": self.provider, "source": "sdk", "granularity": "event",
            "is_inferred": False, "properties": get("properties"), "meta": meta,
            "agent_id": self.agent, "trace_id": self.trace, "span_id": get("spanId"),
            "parent_span_id": get("parentSpanId"), "duration_ms": self.duration,
            "idempotency_key": self.key,
        }


class Book:
    """All events of an account, and every figure the API derives from them."""

    def __init__(self, prices=None):
        self.prices = prices or Prices()
        self.events = []
        self.keys = {}

    def add(self, sent, received_ms=0):
        """The stored event, or None for a duplicate."""
        event = Event(self.prices, sent, received_ms)
        if event.key is not None:
            if event.key in self.keys:
                return None
            self.keys[event.key] = event
        self.events.append(event)
        return event

    def select(self, first_ms=None, end_ms=None, revenue=False):
        """`revenue` keeps the events named "revenue"."""
        return [e for e in self.events
                if (first_ms is None or e.ms >= first_ms) and (end_ms is None or e.ms < end_ms)
                and (revenue or e.name != "revenue")]

    def grouped(self, events, key):
        groups = {}
        for event in events:
            value = key(event)
            sums = groups.setdefault(value, [0, 0, 0, 0, event.ms])
            sums[0] += 1
            sums[1] += event.counted_cost
            sums[2] += event.revenue
            sums[3] += event.usage
            sums[4] = max(sums[4], event.ms)

        def order(item):
            names = item[0] if isinstance(item[0], tuple) else (item[0],)
            return -item[1][1], tuple((name or "").encode() for name in names)

        return sorted(groups.items(), key=order)

    @staticmethod
    def row(names, values, sums, usage=True, pct=1, last_seen=True):
        row = dict(zip(names, values))
        row.update(event_count=sums[0], total_cost=money(sums[1]), total_revenue=money(sums[2]))
        if usage:
            row["total_usage"] = Decimal(sums[3]).scaleb(-6)
        if pct:
            row["margin_pct"] = margin(sums[1], sums[2], pct)
        if last_seen:
            row["last_seen"] = iso(sums[4])
        return row

    def by_feature(self, *window):
        groups = self.grouped(self.select(*window), lambda e: e.feature)
        return [self.row(["feature_key"], [v], s) for v, s in groups]

    def by_customer(self, *window):
        groups = self.grouped(self.select(*window), lambda e: e.customer)
        return [self.row(["customer_id", "customer_name"], [v, v], s, usage=False)
                for v, s in groups]

    def by_model(self, *window):
        events = [e for e in self.select(*window) if e.model]
        groups = self.grouped(events, lambda e: (e.model, e.provider))
        return [self.row(["model", "model_provider"], v, s) for v, s in groups]

    def by_agent(self, *window):
        events = [e for e in self.select(*window, revenue=True) if e.agent]
        groups = self.grouped(events, lambda e: e.agent)
        return [self.row(["agent_id"], [v], s, pct=10) for v, s in groups]

    def by_cost_type(self, *window):
        groups = self.grouped(self.select(*window, revenue=True), lambda e: e.cost_type)
        return [self.row(["cost_type"], [v], s, pct=0, last_seen=False) for v, s in groups]

    def traces(self):
        found = {}
        for event in self.events:
            if event.trace:
                found.setdefault(event.trace, []).append(event)
        rows = []
        for trace, events in found.items():
            events = sorted(events, key=lambda e: (e.ms, e.id or 0))
            durations = [e.duration for e in events if e.duration is not None]
            rows.append({
                "trace_id": trace, "start_time": iso(events[0].ms), "span_count": len(events),
                "total_cost": money(sum(e.counted_cost for e in events)),
                "total_revenue": money(sum(e.revenue for e in events)),
                "total_duration_ms": max(durations) if durations else None,
                "root_event": events[0].name,
                "cost_types": sorted({e.cost_type for e in events})[:5],
            })
        return sorted(rows, key=lambda row: row["start_time"], reverse=True)


def difference(expected, actual, path="$"):
    """None if both are the same, numbers compared as numbers; else where they differ."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        if expected.keys() != actual.keys():
            return "%s: members differ: %s" % (path, sorted(expected.keys() ^ actual.keys()))
        pairs = [(path + "." + key, expected[key], actual[key]) for key in expected]
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            return "%s: %d elements expected, %d found" % (path, len(expected), len(actual))
        pairs = [("%s[%d]" % (path, i), *both) for i, both in enumerate(zip(expected, actual))]
    else:
        numbers = (int, Decimal)
        plain = isinstance(expected, bool) or isinstance(actual, bool)
        if isinstance(expected, numbers) and isinstance(actual, numbers) and not plain:
            same = Decimal(expected) == Decimal(actual)
        else:
            same = type(expected) is type(actual) and expected == actual
        return None if same else "%s: %r expected, %r found" % (path, expected, actual)
    for where, left, right in pairs:
        found = difference(left, right, where)
        if found is not None:
            return found
    return None
