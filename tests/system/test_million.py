"""A million events over eight connections, 2 % of the keys repeated: every figure to the last
picodollar, again after an orderly restart, and again after a hard one."""

import json
import random
import threading
import time

import figures
import oracle
from figures import DAY, HOUR
from harness import equal, once

EVENTS = 1000000
BATCH = 1000
THREADS = 8
CUSTOMERS, FEATURES = 2000, 25
MODELS = [("gpt-4o-mini", "openai"), ("gpt-4o", "openai"), ("claude-sonnet-4-5", "anthropic"),
          ("claude-3-5-haiku-20241022", "anthropic"), ("gemini-2.5-flash", "google"),
          ("unheard-of", "acme-ai"), ("text-embedding-3-small", "openai")]


class Tally:
    """The oracle for many events: sums by key instead of a list of objects."""

    def __init__(self):
        self.sums = {"feature": {}, "customer": {}, "model": {}, "cost_type": {}, "agent": {}}

    def add(self, dim, key, cost, revenue, usage, ms):
        sums = self.sums[dim].setdefault(key, [0, 0, 0, 0, ms])
        sums[0] += 1
        sums[1] += cost
        sums[2] += revenue
        sums[3] += usage
        if ms > sums[4]:
            sums[4] = ms

    def rows(self, dim, names, **options):
        def order(item):
            parts = item[0] if isinstance(item[0], tuple) else (item[0],)
            return -item[1][1], tuple(p.encode() for p in parts)

        out = []
        for key, sums in sorted(self.sums[dim].items(), key=order):
            values = key if isinstance(key, tuple) else (key,) * len(names)
            out.append(oracle.Book.row(names, values, sums, **options))
        return out


def body(number, seed_ms, prices, tally, seen):
    """The bytes of one batch; tells the tally. A repeated key repeats an earlier event whole."""
    chance = random.Random(number)
    texts = []
    for at in range(BATCH):
        index = number * BATCH + at
        if seen and chance.randrange(50) == 0:
            texts.append(event_text(chance.choice(seen), seed_ms, prices)[0])
            continue
        text, fields = event_text(index, seed_ms, prices)
        texts.append(text)
        seen.append(index)
        customer, feature, model, agent, cost, revenue, usage, ms = fields
        tally.add("feature", feature, cost, revenue, usage, ms)
        tally.add("customer", customer, cost, revenue, usage, ms)
        tally.add("model", model, cost, revenue, usage, ms)
        tally.add("cost_type", "llm", cost, revenue, usage, ms)
        if agent:
            tally.add("agent", agent, cost, revenue, usage, ms)
    return ('{"events":[' + ",".join(texts) + "]}").encode()


def event_text(index, seed_ms, prices):
    """Event `index`, a function of its number alone; and what the tally needs of it."""
    mixed = (index * 0x9E3779B97F4A7C15 + 0x1234567) & (2**64 - 1)
    mixed ^= mixed >> 29
    mixed = mixed * 0xBF58476D1CE4E5B9 & (2**64 - 1)
    mixed ^= mixed >> 32
    customer = "cust-%05d" % (mixed % CUSTOMERS)
    feature = "feature-%02d" % (mixed // 7 % FEATURES)
    model = MODELS[mixed // 11 % len(MODELS)]
    tokens_in, tokens_out = mixed // 13 % 20000, mixed // 17 % 3000
    ms = seed_ms - mixed // 19 % (20 * DAY)
    revenue = mixed // 23 % 100000
    agent = "agent-%d" % (mixed % 10) if mixed // 29 % 5 == 0 else None
    rates = prices[model[0]]
    cost = tokens_in * rates[0] + tokens_out * rates[1] if rates else 0
    text = ('{"eventName":"chat","customerReferenceId":"%s","featureKey":"%s","timestamp":"%s",'
            '"model":"%s","modelProvider":"%s","inputTokens":%d,"outputTokens":%d,'
            '"revenueAmount":%d.%06d%s,"idempotencyKey":"event-%d"}'
            % (customer, feature, stamp(ms), model[0], model[1], tokens_in, tokens_out,
               revenue // 1000000, revenue % 1000000,
               ',"agentId":"%s"' % agent if agent else "", index))
    usage = (tokens_in + tokens_out) * oracle.MICRO
    return text, (customer, feature, model, agent, cost, revenue * 1000000, usage, ms)


def stamp(ms, cache={}):
    second, rest = divmod(ms, 1000)
    day, within = divmod(second, 86400)
    if day not in cache:
        cache[day] = oracle.iso(day * DAY)[:11]
    return "%s%02d:%02d:%02d.%03dZ" % (cache[day], within // 3600, within // 60 % 60, within % 60,
                                       rest)


def rates_of():
    """Flat prices of the models used; none of them has tiers below the counts sent."""
    prices, now, out = oracle.Prices(), int(time.time() * 1000), {}
    for model, provider in MODELS:
        entry = prices.find(provider, model)
        out[model] = entry and (prices.cost(entry, now, (1, 0, 0, 0, 0)),
                                prices.cost(entry, now, (0, 1, 0, 0, 0)))
    return out


def send_all(server, bodies):
    results, lock = [], threading.Lock()

    def run(first):
        client = server.client()
        for number in range(first, len(bodies), THREADS):
            reply = client.send("POST", "/api/events/ingest", bodies[number])
            equal(reply.status, 200, "status of batch %d" % number)
            with lock:
                results.append(json.loads(reply.body))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(len(results), len(bodies), "answered batches")
    return {name: sum(r[name] for r in results)
            for name in ("accepted", "rejected", "duplicates", "conflicts")}


def compare(client, tally):
    figures.same(client, "/api/events/by-feature", tally.rows("feature", ["feature_key"]))
    figures.same(client, "/api/events/by-customer",
                 tally.rows("customer", ["customer_id", "customer_name"], usage=False))
    figures.same(client, "/api/events/by-model",
                 tally.rows("model", ["model", "model_provider"]))
    figures.same(client, "/api/events/by-agent", tally.rows("agent", ["agent_id"], pct=10))
    figures.same(client, "/api/events/by-cost-type",
                 {"breakdown": tally.rows("cost_type", ["cost_type"], pct=0, last_seen=False)})
    figures.same(client, "/api/events/by-feature?days=all", tally.rows("feature", ["feature_key"]))


@once
def test_million(context):
    seed_ms = int(time.time() * 1000) - 2 * HOUR
    tally, seen, rates = Tally(), [], rates_of()
    bodies = [body(n, seed_ms, rates, tally, seen) for n in range(EVENTS // BATCH)]
    with context.server() as server:
        sums = send_all(server, bodies)
        equal(sums, {"accepted": len(seen), "rejected": EVENTS - len(seen),
                     "duplicates": EVENTS - len(seen), "conflicts": 0}, "answers")
        client = server.client()
        equal(client.good("/api/events?limit=1")["total"], len(seen), "total")
        compare(client, tally)
        for hard in (False, True):
            server.restart(hard)
            client = server.client()
            compare(client, tally)
            equal(client.good("/api/events?limit=1")["total"], len(seen), "total")
        server.verify()
        sums = send_all(server, bodies[:100])
        equal((sums["accepted"], sums["duplicates"]), (0, 100 * BATCH), "sent again")
        compare(client, tally)
