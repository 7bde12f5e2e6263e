"""The binary socket and the command line tools, which live on it."""

import json
import os
import socket
import struct
import subprocess
import time

from harness import ensure, equal


class Tools:
    def __init__(self, context, server):
        self.context = context
        self.common = ["--server", "127.0.0.1:%d" % server.wire_port, "--data-dir", server.dir]

    def ctl(self, *arguments, code=0, input=None):
        common = self.common[-2:] if arguments[0] == "key" else self.common  # it asks no server
        done = self.context.tool("marginctl", *arguments, *common, input=input)
        equal(done.returncode, code, "marginctl %s (%s%s)" % (arguments, done.stdout, done.stderr))
        return done

    def load(self, server, *arguments):
        done = self.context.tool("margin-load", "--json", "--http", "127.0.0.1:%d" % server.port,
                                 *arguments, *self.common)
        equal(done.returncode, 0, "margin-load (%s%s)" % (done.stdout, done.stderr))
        return json.loads(done.stdout)


def total_events(client):
    return sum(row["event_count"] for row in client.good("/api/events/by-customer"))


def test_every_way_in(context):
    """Load by each mode: what is acknowledged is there once, and every figure agrees with the log,
    also after kill -9."""
    with context.server() as server:
        tools = Tools(context, server)
        accepted = 0
        for seed, mode in enumerate(("wire", "json-wire", "http", "single")):
            events = 2000 if mode == "single" else 50000
            report = tools.load(server, "--mode", mode, "--events", events, "--duplicates", 20,
                                "--connections", 4, "--pipeline", 2, "--seed", seed)
            equal(report["sent"], events, mode + " sent")
            equal(report["accepted"] + report["duplicates"], events, mode + " counted")
            equal(report["refused"], 0, mode + " refused")
            ensure(events / 100 < report["duplicates"] < events / 25, mode + " duplicates")
            accepted += report["accepted"]
        again = tools.load(server, "--mode", "wire", "--events", 50000, "--duplicates", 20,
                           "--seed", 0)
        equal(again["accepted"], 0, "sent again")
        equal(again["duplicates"], 50000, "sent again")
        equal(total_events(server.client()), accepted, "events")
        server.verify()
        server.restart(hard=True)
        equal(total_events(server.client()), accepted, "events after kill -9")
        server.verify()


def test_load_without_a_key(context):
    with context.server() as server:
        done = context.tool("margin-load", "--http", "127.0.0.1:%d" % server.port, "--key", "none",
                            "--events", 5000)
        equal(done.returncode, 1, "exit code")
        ensure("the key is unknown" in done.stderr, done.stderr)


def test_queries_beside_load(context):
    with context.server() as server:
        tools = Tools(context, server)
        report = tools.load(server, "--mode", "wire", "--seconds", 1, "--query-rate", 50)
        ensure(report["queries"]["requests"] > 5, "queries: %r" % report["queries"])
        equal(report["queries"]["errors"], {}, "query errors")
        report = tools.load(server, "--mode", "point", "--events", 20000)
        ensure(report["requests_per_second"] > 1000, "point queries: %r" % report)
        equal(report["errors"], {}, "point errors")


LINES = """\
{"eventName":"chat","customerReferenceId":"acme, inc","featureKey":"f","model":"gpt-4o-mini",\
"inputTokens":150,"outputTokens":80,"revenueAmount":0.01,"idempotencyKey":"k1","traceId":"t",\
"spanId":"a","meta":{"n":5},"properties":{"x":[1,"\\u00e9"]},"timestamp":"2026-05-01T10:00:00.000Z"}
{"eventName":"chat","customerReferenceId":"acme, inc","featureKey":"f","idempotencyKey":"k2",\
"traceId":"t","spanId":"b","parentSpanId":"a","costAmount":1.25,\
"timestamp":"2026-05-01T10:00:01.000Z"}
{"eventName":"chat","customerReferenceId":"other","featureKey":"f","idempotencyKey":"k2"}
{"eventName":"chat","featureKey":"f","idempotencyKey":"k3"}
{"eventName": nonsense}
no JSON at all
{"events":[
 {"eventName":"a","customerReferenceId":"b","featureKey":"c","usageUnits":0.5},
 {"eventName":"a","customerReferenceId":"b","featureKey":"c","inputTokens":5.5}
]}
{"eventName":"cut off
"""


def test_ingest_export_ingest(context):
    """A file with mistakes: each is named by its line, the rest is stored; an export of it,
    ingested by another server, gives the same figures."""
    with context.server() as server, context.server() as second:
        tools = Tools(context, server)
        done = tools.ctl("ingest", "-", code=1, input=LINES)
        ensure(done.stdout.startswith("3 accepted, 1 duplicates, 5 rejected"), done.stdout)
        equal(sorted(int(line.split(":")[0][5:]) for line in done.stderr.splitlines()
                     if line.startswith("line ")), [4, 5, 6, 9, 11], "lines with mistakes")
        event = '{"eventName":"e","customerReferenceId":"marked","featureKey":"f"}'
        tools.ctl("ingest", "-", input="\ufeff" + event)
        equal(len(tools.ctl("export", "--customer", "marked").stdout.splitlines()), 1, "marked")
        exported = tools.ctl("export").stdout
        rows = [json.loads(line) for line in exported.splitlines()]
        equal([r["customerReferenceId"] for r in rows], ["acme, inc", "acme, inc", "b", "marked"],
              "export")
        equal(rows[0]["costAmount"], 0.0000705, "cost")
        equal(rows[0]["properties"], {"x": [1, "\u00e9"]}, "properties")
        equal(rows[0]["meta"], {"n": "5"}, "meta")
        csv = tools.ctl("export", "--format", "csv", "--customer", "acme, inc").stdout
        equal(len(csv.strip().splitlines()), 3, "CSV lines")
        ensure('"acme, inc"' in csv, "quoted in CSV")
        done = Tools(context, second).ctl("ingest", "-", input=exported)
        ensure(done.stdout.startswith("4 accepted"), done.stdout)
        for path in ("by-customer?days=all", "by-feature?days=all", "by-model?days=all"):
            left, right = (s.client().good("/api/events/" + path) for s in (server, second))
            for row in left + right:
                row.pop("last_seen", None)
            equal(left, right, path)


def test_reading_commands(context):
    with context.server() as server:
        tools = Tools(context, server)
        tools.ctl("ingest", "-", code=1, input=LINES)
        top = tools.ctl("top", "customers", "--window", "all", "--by", "cost").stdout.splitlines()
        ensure(top[1].startswith("acme, inc") and " 1.250071 " in top[1], top[1])
        ensure(top[-1].startswith("all 2") and " 3 " in top[-1], top[-1])
        models = tools.ctl("top", "models", "--window", "all").stdout
        ensure("gpt-4o-mini (openai)" in models, models)
        events = tools.ctl("events", "--customer", "b").stdout.splitlines()
        equal(len(events), 2, "one event of b")
        trace = tools.ctl("trace", "t").stdout.splitlines()
        ensure(trace[1].index("chat") == trace[0].index("chat") + 2, "the child is indented")
        ensure(trace[2].startswith("2 spans, 1.250071"), trace[2])
        ensure("events               3" in tools.ctl("stats").stdout, "stats")
        tools.ctl("trace", "no-such-trace", code=1)
        tools.ctl("top", "nonsense", code=2)
        tools.ctl("nonsense", code=2)
        tools.ctl("events", "--from", "nonsense", code=2)
        for command in ("ingest", "top", "watch", "events", "trace", "export", "stats", "verify",
                        "key"):
            help = context.tool("marginctl", command, "--help")
            equal(help.returncode, 0, command + " --help")
            ensure("example" in help.stdout, command + " has no example")


def test_hostile_names(context):
    """Names that hold commands to the terminal are shown without them, long ones are cut between
    characters, and columns are as wide as their content."""
    with context.server() as server:
        tools = Tools(context, server)
        names = ["\x1b[2J\x07evil\nline", "\u00e9" * 127, "\x9b31mred", "plain"]
        server.client().ingest([{"eventName": n[:60], "customerReferenceId": n, "featureKey": "f",
                                 "model": n[:60], "costAmount": 1, "traceId": "t"} for n in names])
        for command in (("top", "customers"), ("top", "models"), ("events",), ("trace", "t")):
            shown = tools.ctl(*command).stdout
            for character in shown:
                ensure(character == "\n" or character.isprintable(), "%r: %r" % (command, shown))
            ensure("?[2J?evil?line" in shown and "?31mred" in shown and "plain" in shown, shown)
        top = tools.ctl("top", "customers").stdout.splitlines()
        ensure("\u00e9" * 37 + "... " in "".join(top), "cut: %r" % top)
        equal(len({len(line) for line in top}), 1, "lines as long as each other: %r" % top)
        ensure(all(line.endswith(" -") for line in top[1:]), "no revenue, no percent: %r" % top)
        ensure(len(tools.ctl("top", "features").stdout.splitlines()[0]) < 70, "narrow")


def test_watch(context):
    """A subscription pushes what changes, and only that."""
    with context.server() as server:
        command = [os.path.join(context.build, "marginctl"), "watch", "--customer", "acme",
                   "--window", "all", "--limit", "3", "--data-dir", server.dir,
                   "--server", "127.0.0.1:%d" % server.wire_port]
        watcher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        equal(watcher.stdout.readline().split()[0], "TIME", "heading")
        equal(watcher.stdout.readline().split()[1], "0", "events at first")
        client = server.client()
        for count, customer in ((2, "acme"), (5, "other"), (1, "acme")):
            client.ingest([{"eventName": "e", "customerReferenceId": customer, "featureKey": "f",
                            "revenueAmount": 1}] * count)
            if customer == "acme":
                line = watcher.stdout.readline().split()
                equal(int(line[1]), 2 if count == 2 else 3, "events pushed")
                equal(line[3], "%d.000000" % int(line[1]), "revenue pushed")
            else:
                time.sleep(0.6)
        equal(watcher.wait(10), 0, "watch")


def test_keys(context):
    """Keys made beside the running server work at once, within their scopes, until revoked."""
    with context.server() as server:
        tools = Tools(context, server)
        create = ("key", "create", "--scopes")
        reader = tools.ctl(*create, "events.read", "--name", "r").stdout.strip()
        writer = tools.ctl(*create, "events.write", "--name", "w").stdout.strip()
        body = '{"eventName":"e","customerReferenceId":"c","featureKey":"f"}'
        tools.ctl("key", "create", "--name", "w", code=1)
        tools.ctl("key", "create", "--name", "two\nlines", code=2)
        tools.ctl("key", "create", "--name", "nothing", "--scopes", "", code=2)
        done = tools.ctl("ingest", "-", "--key", reader, code=1, input=body)
        ensure("events.write" in done.stderr, done.stderr)
        tools.ctl("ingest", "-", "--key", writer, input=body)
        tools.ctl("top", "customers", "--key", reader)
        done = tools.ctl("top", "customers", "--key", writer, code=1)
        ensure("events.read" in done.stderr, done.stderr)
        listed = tools.ctl("key", "list").stdout
        number = [l.split()[0] for l in listed.splitlines() if " w " in l][0]
        tools.ctl("key", "revoke", number)
        done = tools.ctl("ingest", "-", "--key", writer, code=1, input=body)
        ensure("revoked" in done.stderr, done.stderr)
        tools.ctl("key", "revoke", number, code=1)


def test_strangers(context):
    """What is not the protocol gets an error frame or nothing, and then the end."""
    with context.server() as server:
        for bytes in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 64, b"\xff" * 64,
                      struct.pack("<IBBHII", 4, 3, 0, 0, 7, 0) + b"ping"):
            with socket.create_connection(("127.0.0.1", server.wire_port), timeout=10) as stranger:
                stranger.sendall(bytes)
                answer = b""
                while True:
                    part = stranger.recv(65536)
                    if not part:
                        break
                    answer += part
            ensure(len(answer) >= 16 and answer[4] == 0xFF, "answer to %r: %r" % (bytes, answer))
        server.client().good("/api/events")
