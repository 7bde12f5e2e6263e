"""Made-up events for the system tests, different in every way events can differ."""

import random
import time

from figures import DAY, HOUR
from oracle import iso

MODELS = [("gpt-4o-mini", "openai"), ("gpt-4o", None), ("claude-sonnet-4-5", "anthropic"),
          ("claude-3-5-haiku-20241022", None), ("gemini-2.5-pro", "google"),
          ("openai/gpt-4o", None), ("no-such-model", None), ("text-embedding-3-small", "openai"),
          (None, None)]
NAMES = ["chat", "embed", "tool_call", "revenue"]


def make(seed, count, prefix="k", now_ms=None):
    """`count` ingest objects with distinct keys; times lie well away from the bounds of windows."""
    chance = random.Random(seed)
    now = now_ms or int(time.time() * 1000)
    ages = [0, 2 * HOUR, 30 * HOUR, 6 * DAY, 20 * DAY, 60 * DAY, 200 * DAY, 900 * DAY, -5 * HOUR]
    events = []
    for number in range(count):
        model, provider = chance.choice(MODELS)
        age = chance.choice(ages) + chance.randrange(10 * HOUR)
        if age > 0 and abs(age - DAY) < 2 * HOUR:
            age += 4 * HOUR
        event = {
            "eventName": chance.choice(NAMES),
            "customerReferenceId": chance.choice(["_internal-lab", "acme", "b\u00e9ta", "\u7532"])
            if chance.random() < 0.2 else "customer-%03d" % chance.randrange(40),
            "featureKey": "feature-%d" % chance.randrange(8),
            "timestamp": iso(now - age),
            "idempotencyKey": "%s-%d-%d" % (prefix, seed, number),
        }
        if model:
            event["model"] = model
        if provider:
            event["modelProvider"] = provider
        if chance.random() < 0.85:
            event["inputTokens"] = chance.randrange(300000)
            if chance.random() < 0.3:
                event["cachedInputTokens"] = event["inputTokens"] // 3
            if chance.random() < 0.2:
                event["cacheWriteTokens"] = event["inputTokens"] // 4
        if chance.random() < 0.8:
            event["outputTokens"] = chance.randrange(8000)
        if chance.random() < 0.2:
            event["costAmount"] = round(chance.uniform(-2, 40), chance.randrange(13))
            if chance.random() < 0.2:
                event["costUnit"] = chance.choice(["eur", "USD", "credits"])
        if chance.random() < 0.5:
            event["revenueAmount"] = round(chance.uniform(-1, 60), chance.randrange(8))
        if chance.random() < 0.2:
            event["usageUnits"] = round(chance.uniform(0, 9000), chance.randrange(6))
        if chance.random() < 0.6:
            event["durationMs"] = round(chance.uniform(0, 90000), 1)
        if chance.random() < 0.2:
            event["agentId"] = "agent-%d" % chance.randrange(6)
        if chance.random() < 0.2:
            event["costType"] = chance.choice(["tool", "search", "llm"])
        if chance.random() < 0.2:
            event["traceId"] = "trace-%d" % chance.randrange(60)
            event["spanId"] = "span-%d" % chance.randrange(20)
            if chance.random() < 0.7:
                event["parentSpanId"] = "span-%d" % chance.randrange(20)
        if chance.random() < 0.1:
            event["properties"] = {"region": "eu", "n": [1, 2, {"deep": None}]}
        if chance.random() < 0.1:
            event["meta"] = {"plan": "pro", "seats": 5, "trial": False}
        events.append(event)
    return events


def send(client, book, events, batch=100):
    """Ingests all of them and tells the oracle; returns the stored events."""
    stored = []
    for first in range(0, len(events), batch):
        part = events[first:first + batch]
        client.ingest(part)
        stored += [event for event in (book.add(sent) for sent in part) if event is not None]
    return stored
