"""An account's own prices: what events of features earn, what tokens of models cost, the record of
changes, and a price table that is exchanged while the server runs."""

import json
import os
import random
import signal
import tempfile
import time
from decimal import Decimal
from urllib.parse import quote

import figures
import oracle
import scenario
from harness import ensure, equal


NOW_MS = int(time.time() * 1000)


class AccountBook(oracle.Book):
    """The oracle's book of an account that has prices of its own."""

    def __init__(self):
        super().__init__()
        self.features = {}  # key -> picodollars an event
        self.models = {}  # (provider or None, model) -> picodollars a token by kind

    def own_rates(self, sent):
        model, provider = sent.get("model"), sent.get("modelProvider")
        if not model:
            return None
        owner = self.prices.canonical(provider) if provider else self.prices.infer(model)
        name = model.lower()
        while True:
            for spelled in (name, oracle.SNAPSHOT.sub("", name)):
                for one in (owner, None):
                    if (one, spelled) in self.models:
                        return self.models[(one, spelled)]
            if "/" not in name:
                return None
            name = name.split("/", 1)[1]

    def add(self, sent, received_ms=0):
        event = super().add(sent, received_ms)
        if event is None:
            return None
        rates = self.own_rates(sent)
        counted = event.input is not None or event.output is not None
        if rates and counted and event.cost_source in ("price_table", "unpriced"):
            cached, write = (sent.get(name) or 0 for name in ("cachedInputTokens",
                                                              "cacheWriteTokens"))
            event.cost = (((event.input or 0) - cached - write) * rates["input"]
                          + cached * rates.get("cached_input", rates["input"])
                          + write * rates.get("cache_write", rates["input"])
                          + (event.output or 0) * rates["output"])
            event.cost_source = "account_price"
            event.counted_cost = event.cost if event.unit == "usd" else 0
        internal = event.customer.startswith("_internal")
        if not internal and event.revenue_source == "none" and event.feature in self.features:
            event.revenue = self.features[event.feature]
            event.revenue_source = "feature_pricing"
        return event


def dollars(pico, scale):
    return str(Decimal(pico).scaleb(-scale))


def set_feature(client, book, key, pico, label=None):
    body = '{"feature_key":"%s","revenue_per_unit":%s%s}' % (
        key, dollars(pico, 12), "" if label is None else ',"unit_label":"%s"' % label)
    reply = client.send("POST", "/api/feature-pricing", body)
    equal((reply.status, reply.json), (200, {"ok": True}), "setting a feature's price")
    book.features[key] = pico


def delete_feature(client, book, key):
    reply = client.send("DELETE", "/api/feature-pricing/" + quote(key, safe=""))
    equal(reply.status, 200 if key in book.features else 404, "removing a feature's price")
    book.features.pop(key, None)


def set_model(client, book, provider, model, rates):
    members = ['"%s_cost_per_million":%s' % (kind, dollars(rate, 6))
               for kind, rate in rates.items()]
    if provider:
        members.append('"provider":"%s"' % provider)
    reply = client.send("PUT", "/api/pricing/models/" + quote(model, safe=""),
                        "{%s}" % ",".join(members))
    equal((reply.status, reply.json), (200, {"success": True}), "setting a model's price")
    owner = book.prices.canonical(provider) if provider else None
    book.models[(owner, model.lower())] = rates


def delete_models(client, book, model):
    there = [key for key in book.models if key[1] == model.lower()]
    reply = client.send("DELETE", "/api/pricing/models/" + quote(model, safe=""))
    equal(reply.status, 200 if there else 404, "removing a model's price")
    for key in there:
        del book.models[key]


def change_some(chance, client, book):
    for _ in range(3):
        feature = "feature-%d" % chance.randrange(8)
        if chance.random() < 0.7:
            set_feature(client, book, feature, chance.randrange(10**13))
        else:
            delete_feature(client, book, feature)
        model, provider = chance.choice([pair for pair in scenario.MODELS if pair[0]])
        if chance.random() < 0.7:
            rates = {"input": chance.randrange(10**8), "output": chance.randrange(10**8)}
            if chance.random() < 0.5:
                rates["cached_input"] = chance.randrange(10**7)
            if chance.random() < 0.5:
                rates["cache_write"] = chance.randrange(10**7)
            set_model(client, book, chance.choice([provider, None]), model, rates)
        else:
            delete_models(client, book, model)


def check_events(client, book):
    """Cost, revenue and where both come from, event by event."""
    by_key = {event.key: event for event in book.events}
    seen, total, sources = 0, 1, set()
    while seen < total:
        page = client.good("/api/events?limit=200&offset=%d" % seen)
        total = page["total"]
        for got in page["events"]:
            event = by_key[got["idempotency_key"]]
            expected = (oracle.money(event.cost), event.cost_source, oracle.money(event.revenue),
                        event.revenue_source)
            equal((got["cost_amount"], got["cost_source"], got["revenue_amount"],
                   got["revenue_source"]), expected, "event " + event.key)
            sources |= {event.cost_source, event.revenue_source}
        seen += len(page["events"])
    return sources


def test_own_prices(context):
    """Prices change between batches, over restarts; each event keeps what held when it came."""
    chance = random.Random(7)
    with context.server() as server:
        book = AccountBook()
        client = server.client()
        for round_number in range(12):
            change_some(chance, client, book)
            scenario.send(client, book, scenario.make(100 + round_number, 60), batch=25)
            if round_number % 4 == 3:
                server.restart(hard=round_number % 8 == 3)
                client = server.client()
        sources = check_events(client, book)
        ensure({"account_price", "price_table", "unpriced", "explicit", "feature_pricing", "none"}
               <= sources, "every source occurs: %s" % sources)
        figures.compare_aggregates(client, book)
        rules = client.good("/api/feature-pricing")["rules"]
        equal({rule["feature_key"]: rule["revenue_per_unit"] for rule in rules},
              {key: oracle.money(pico) for key, pico in book.features.items()}, "rules")
        equal([rule["feature_key"] for rule in rules], sorted(book.features), "order of the rules")
        own = {(line["provider"], line["model"]): line["input_cost_per_million"]
               for line in client.good("/api/pricing/models")["models"]
               if line["source"] == "account"}
        equal(own, {key: Decimal(rates["input"]).scaleb(-6) for key, rates in book.models.items()},
              "own prices in the list")
        server.verify()


def test_client_event_and_wire(context):
    """The single-event endpoint uses the same prices, and so does the binary socket."""
    with context.server() as server:
        client, book = server.client(), AccountBook()
        set_feature(client, book, "chat", 25 * 10**9, "answer")
        set_model(client, book, None, "house-1", {"input": 2, "output": 30})
        reply = client.send("POST", "/api/v1/client/events", {
            "eventName": "e", "customerId": "c", "featureKey": "chat",
            "costInput": {"model": "house-1", "inputTokens": 1000, "outputTokens": 10}})
        equal(reply.status, 201, "client event")
        event = client.good("/api/events")["events"][0]
        equal((event["cost_amount"], event["cost_source"], event["revenue_amount"],
               event["revenue_source"]),
              (Decimal("0.0000000023"), "account_price", Decimal("0.025"), "feature_pricing"),
              "client event")
        equal((event["input_cost"], event["output_cost"]), (0, 0), "parts, R6")
        line = ('{"eventName":"e","customerReferenceId":"c","featureKey":"chat","model":"house-1",'
                '"inputTokens":1000000,"outputTokens":0,"usageUnits":500}\n')
        done = context.tool("marginctl", "ingest", "-", "--server",
                            "127.0.0.1:%d" % server.wire_port, "--key", server.key, input=line)
        equal(done.returncode, 0, "marginctl ingest (%s)" % done.stderr)
        event = client.good("/api/events")["events"][0]
        equal((event["cost_amount"], event["cost_source"], event["revenue_amount"]),
              (Decimal("0.000002"), "account_price", Decimal("0.025")), "native event")
        equal(event["input_cost"], Decimal("0.000002"), "today's price is the own one")
        features = client.good("/api/feature-pricing/features")["features"]
        equal(features, ["chat"], "features")
        set_feature(client, book, "Chat", 0)
        set_feature(client, book, "b/c d", 10**18)
        features = client.good("/api/feature-pricing/features")["features"]
        equal(features, ["Chat", "b/c d", "chat"], "features")
        rule = client.good("/api/feature-pricing")["rules"][2]
        equal((rule["unit_label"], rule["created_at"]), ("answer", rule["effective_from"]), "rule")
        set_feature(client, book, "chat", 26 * 10**9)
        changed = client.good("/api/feature-pricing")["rules"][2]
        equal((changed["unit_label"], changed["created_at"]), ("call", rule["created_at"]), "rule")
        ensure(changed["effective_from"] > rule["effective_from"], "effective_from")
        delete_feature(client, book, "b/c d")
        equal(len(client.good("/feature-pricing")["rules"]), 2, "rules")


BAD_RULES = ["", "[]", '{"feature_key":"a"}', '{"revenue_per_unit":1}',
             '{"feature_key":"","revenue_per_unit":1}', '{"feature_key":7,"revenue_per_unit":1}',
             '{"feature_key":"a","revenue_per_unit":"1"}', '{"feature_key":"a","revenue_per_unit":',
             '{"feature_key":"a","revenue_per_unit":-0.1}',
             '{"feature_key":"a","revenue_per_unit":9000000.1}',
             '{"feature_key":"a","revenue_per_unit":1,"unit_label":""}',
             '{"feature_key":"a","revenue_per_unit":1,"unit_label":5}',
             '{"feature_key":"%s","revenue_per_unit":1}' % ("x" * 129)]
BAD_PRICES = ["", "7", '{"input_cost_per_million":1}', '{"output_cost_per_million":1}',
              '{"input_cost_per_million":1,"output_cost_per_million":-1}',
              '{"input_cost_per_million":0.0000001,"output_cost_per_million":1}',
              '{"input_cost_per_million":70000,"output_cost_per_million":1}',
              '{"input_cost_per_million":"1","output_cost_per_million":1}',
              '{"input_cost_per_million":1,"output_cost_per_million":1,"provider":" "}',
              '{"input_cost_per_million":1,"output_cost_per_million":1,"provider":["openai"]}',
              '{"input_cost_per_million":1,"output_cost_per_million":1,"provider":"%s"}'
              % ("p" * 65)]


def test_bad_prices(context):
    """What is not valid changes nothing."""
    with context.server() as server:
        client = server.client()
        for body in BAD_RULES:
            reply = client.send("POST", "/api/feature-pricing", body)
            equal((reply.status, reply.json["code"]), (400, "invalid_request"), body)
        for body in BAD_PRICES:
            reply = client.send("PUT", "/api/pricing/models/gpt-4o", body)
            equal((reply.status, reply.json["code"]), (400, "invalid_request"), body)
        good = '{"input_cost_per_million":1,"output_cost_per_million":1}'
        for name in ("%20", "m" * 129, "%FF", "m%C3"):
            equal(client.send("PUT", "/api/pricing/models/" + name, good).status, 400, name)
        equal(client.send("DELETE", "/api/pricing/models/gpt-4o").status, 404, "no own price")
        equal(client.send("DELETE", "/api/feature-pricing/a").status, 404, "no price")
        equal(client.good("/api/feature-pricing"), {"rules": []}, "no rules")
        log = client.good("/api/pricing/log")
        equal(log, {"changes": [], "total": 0, "limit": 100, "offset": 0}, "no changes")


def test_record_of_changes(context):
    with context.server() as server:
        client, book = server.client(), AccountBook()
        set_model(client, book, None, "M1", {"input": 5 * 10**6, "output": 7})
        set_model(client, book, None, "m1", {"input": 5 * 10**6, "output": 8, "cached_input": 0})
        set_model(client, book, "azure_openai", "m1", {"input": 1, "output": 1})
        client.send("DELETE", "/api/pricing/models/m1?provider=azure")
        server.restart()
        log = server.client().good("/api/pricing/log?limit=4&offset=1")
        equal((log["total"], log["limit"], log["offset"]), (8, 4, 1), "page")
        lines = [(c["provider"], c["field"][:6], c["old_value"], c["new_value"], c["source"])
                 for c in log["changes"]]
        equal(lines, [("azure", "input_", Decimal("0.000001"), None, "account"),
                      ("azure", "output", None, Decimal("0.000001"), "account"),
                      ("azure", "input_", None, Decimal("0.000001"), "account"),
                      (None, "cached", None, 0, "account")], "changes")
        equal({c["model"] for c in log["changes"]}, {"m1"}, "names as they are matched")


def test_who_sees_own_prices(context):
    """The list is public; own prices are for those who may read models."""
    with context.server() as server:
        client, book = server.client(), AccountBook()
        set_model(client, book, "openai", "gpt-4o", {"input": 1, "output": 1})
        public = client.get("/api/pricing/models", key=False).json["models"]
        ensure(all(line["source"] == "table" for line in public), "no own prices in public")
        mine = client.good("/api/pricing/models")["models"]
        equal(len(mine), len(public), "the own price takes its line's place")
        equal((mine[0]["model"], mine[0]["source"]), ("gpt-4o", "account"), "own prices first")
        bad = client.get("/api/pricing/models", headers={"Observe-Key": "obs_" + "0" * 48})
        equal(bad.status, 401, "a credential that is present must be good")
        for scopes, sees, reads, writes, admin in (("models.read", 1, 0, 0, 0),
                                                   ("usage.read", 0, 1, 0, 0),
                                                   ("usage.write", 0, 0, 1, 0),
                                                   ("admin", 1, 1, 1, 1)):
            made = context.tool("marginctl", "key", "create", "--data-dir", server.dir, "--name",
                                scopes, "--scopes", scopes)
            equal(made.returncode, 0, "marginctl key create (%s)" % made.stderr)
            other = server.client(made.stdout.strip())
            own = [x for x in other.good("/api/pricing/models")["models"]
                   if x["source"] == "account"]
            equal(len(own), sees, "own prices seen with " + scopes)
            equal(other.get("/api/pricing/log").status, 200 if sees else 403, scopes)
            equal(other.get("/api/feature-pricing").status, 200 if reads else 403, scopes)
            rule = {"feature_key": "f", "revenue_per_unit": 1}
            equal(other.send("POST", "/api/feature-pricing", rule).status,
                  200 if writes else 403, scopes)
            price = {"input_cost_per_million": 1, "output_cost_per_million": 1}
            equal(other.send("PUT", "/api/pricing/models/m", price).status,
                  200 if admin else 403, scopes)
            equal(other.send("DELETE", "/api/pricing/models/m").status,
                  200 if admin else 403, scopes)


def write(path, models):
    """In one step, as an editor would."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(models, file)
    os.rename(path + ".new", path)


def cost_of(client, model, provider=None):
    """Of 1000 tokens in and 100 out; None without a price."""
    event = {"eventName": "e", "customerReferenceId": "c", "featureKey": "f", "model": model,
             "inputTokens": 1000, "outputTokens": 100}
    if provider:
        event["modelProvider"] = provider
    client.ingest([event])
    got = client.good("/api/events?limit=1")["events"][0]
    return got["cost_amount"] if got["cost_source"] == "price_table" else None


def hang_up(server, word):
    """Tells the server to read its files again and waits until it says how that went."""
    before = len([line for line in server.log if word in line])
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 20
    while len([line for line in server.log if word in line]) == before:
        ensure(time.monotonic() < deadline, "no %s in the log" % word)
        time.sleep(0.01)


def test_price_files(context):
    """The price table is exchanged while the server runs; a bad file changes nothing."""
    with tempfile.TemporaryDirectory(prefix="margin-prices.") as dir:
        extra = os.path.join(dir, "extra.json")
        write(extra, [{"provider": "openai", "model": "gpt-4o", "input_per_mtok": "1",
                       "output_per_mtok": "2", "aliases": ["our-alias"]},
                      {"provider": "openai", "model": "gpt-house", "input_per_mtok": "3"}])
        with context.server(arguments=["--price-extra", extra]) as server:
            client = server.client()
            builtin = len(oracle.Prices().models)
            equal(len(client.good("/api/pricing/models")["models"]), builtin + 1, "lines")
            equal(cost_of(client, "gpt-4o"), Decimal("0.0012"), "extra price")
            equal(cost_of(client, "gpt-4o-2024-08-06"), Decimal("0.0012"), "by its snapshot")
            equal(cost_of(client, "our-alias", "openai"), Decimal("0.0012"), "extra alias")
            equal(cost_of(client, "gpt-house"), Decimal("0.003"), "extra model")
            equal(cost_of(client, "gpt-4o-mini"), Decimal("0.00021"), "built-in price")
            write(extra, [{"provider": "openai", "model": "gpt-house", "input_per_mtok": "5"}])
            equal(cost_of(client, "gpt-house"), Decimal("0.003"), "not read yet")
            hang_up(server, "event=prices_reloaded")
            equal(cost_of(client, "gpt-house"), Decimal("0.005"), "the new price")
            equal(cost_of(client, "gpt-4o"), Decimal("0.0035"), "the built-in one again")
            changes = client.good("/api/pricing/log")["changes"]
            equal([(c["model"], c["field"][:6], c["old_value"], c["new_value"], c["source"])
                   for c in changes if c["model"] == "gpt-house"],
                  [("gpt-house", "input_", 3, 5, "table")], "changes")
            for bad in ('[{"provider":"openai"}]', "[", "",
                        '[{"provider":"nobody-knows","model":"m","input_per_mtok":"1"}]'):
                with open(extra, "w", encoding="utf-8") as file:
                    file.write(bad)
                hang_up(server, "event=prices_refused")
                equal(cost_of(client, "gpt-house"), Decimal("0.005"), "the old price")
            os.remove(extra)
            hang_up(server, "event=prices_refused")
            equal(cost_of(client, "gpt-house"), Decimal("0.005"), "the old price")
            server.process.send_signal(signal.SIGTERM)
            equal(server.process.wait(30), 0, "exit code")
            done = context.tool("margind", "--data-dir", server.dir, "--price-extra", extra)
            equal(done.returncode, 2, "without the file")
            ensure(extra in done.stderr, "the line names the file: " + done.stderr)
        models = os.path.join(dir, "models.json")
        write(models, [{"provider": "openai", "model": "only", "input_per_mtok": "7"}])
        with context.server(arguments=["--price-models", models]) as server:
            client = server.client()
            equal(cost_of(client, "only", "openai"), Decimal("0.007"), "the only price")
            equal(cost_of(client, "gpt-4o"), None, "not in the file")
            lines = client.good("/api/pricing/models")
            equal(len(lines["models"]), 1, "lines")
            written = oracle.iso(int(os.stat(models).st_mtime_ns // 1000000))
            equal(lines["updated_at"], written, "updated_at")


def test_accounts_price_apart(context):
    """Two accounts price the same names; neither sees the other's prices, changes, definitions or
    ids, also after a restart."""
    with context.server() as server:
        made = context.tool("marginctl", "account", "create", "second", "--data-dir", server.dir)
        equal(made.returncode, 0, "marginctl account create (%s)" % made.stderr)
        made = context.tool("marginctl", "key", "create", "--data-dir", server.dir, "--account",
                            made.stdout.strip(), "--name", "second")
        equal(made.returncode, 0, "marginctl key create (%s)" % made.stderr)
        keys = (server.key, made.stdout.strip())
        books = (AccountBook(), AccountBook())
        chance = random.Random(11)
        for round_number in range(6):
            for key, book in zip(keys, books):
                client = server.client(key)
                change_some(chance, client, book)
                # The same events, with the same keys, for both.
                scenario.send(client, book, scenario.make(300 + round_number, 40, now_ms=NOW_MS))
            if round_number == 3:
                server.restart(hard=True)
        ids = []
        for key, book in zip(keys, books):
            client = server.client(key)
            check_events(client, book)
            figures.same(client, "/api/events/by-feature?days=all", book.by_feature())
            figures.same(client, "/api/events/by-model?days=all", book.by_model())
            rules = client.good("/api/feature-pricing")["rules"]
            equal({rule["feature_key"]: rule["revenue_per_unit"] for rule in rules},
                  {name: oracle.money(pico) for name, pico in book.features.items()}, "rules")
            own = {(line["provider"], line["model"])
                   for line in client.good("/api/pricing/models")["models"]
                   if line["source"] == "account"}
            equal(own, set(book.models), "own prices")
            rows = client.good("/api/feature-definitions")["definitions"]
            equal({row["feature_key"]: row["revenue_per_unit"] for row in rows},
                  {name: oracle.money(book.features[name]) if name in book.features else None
                   for name in {event.feature for event in book.events}}, "definitions")
            ids.append({row["id"] for row in rows})
        ensure(books[0].features != books[1].features, "the accounts differ")
        logs = [server.client(key).good("/api/pricing/log?limit=10000")["changes"] for key in keys]
        times = [{change["created_at"] for change in log} for log in logs]
        ensure(logs[0] and logs[1] and not times[0] & times[1], "changes are apart")
        for number in ids[1] - ids[0]:
            path = "/api/feature-definitions/%d" % number
            equal(server.client(keys[0]).send("PATCH", path, {"name": "x"}).status, 404, path)
            equal(server.client(keys[0]).send("DELETE", path).status, 404, path)
        server.verify()
