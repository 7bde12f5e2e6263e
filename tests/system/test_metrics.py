"""What /metrics says: all that is documented, nothing else, and each in Prometheus' form."""

import os
import re

import oracle
import scenario
from harness import ensure, equal

SAMPLE = re.compile(r"^(margind_[a-z0-9_]+)(\{[^}]*\})? (\d+(?:\.\d+)?)$")


def documented():
    """Names in README's section on metrics."""
    with open(os.path.join(oracle.ROOT, "README.md"), encoding="utf-8") as file:
        section = file.read().split("\n## Metrics\n")[1].split("\n## ")[0]
    names = set()
    for line in section.splitlines():
        if line.startswith("| `"):
            names |= {"margind_" + name for name in re.findall(r"`([a-z0-9_]+)`",
                                                                line.split("|")[1])}
    return names


def parse(body):
    """{name: value} of plain samples; every sample stands behind its HELP and TYPE."""
    kinds, values, described = {}, {}, set()
    for line in body.splitlines():
        if line.startswith("# HELP "):
            name, text = line[7:].split(" ", 1)
            ensure(name not in described and text.endswith("."), line)
            described.add(name)
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            ensure(name in described and name not in kinds, line)
            kinds[name] = kind
        else:
            found = SAMPLE.match(line)
            ensure(found is not None, "no sample: " + line)
            base = re.sub(r"_(bucket|sum|count)$", "", found[1])
            name = base if kinds.get(base) == "histogram" else found[1]
            ensure(name in kinds, "no type: " + line)
            ensure(kinds[name] != "counter" or name.endswith("_total"), "a counter: " + name)
            if name == found[1]:
                ensure(name not in values, "twice: " + name)
                values[name] = float(found[3])
    return kinds, values


def test_all_are_documented(context):
    with context.server(arguments=["--memory-max", "4G", "--retention-days", "900"]) as server:
        client = server.client()
        client.ingest(scenario.make(8, 50))
        equal(client.get("/api/sdk-keys/me").status, 200, "a good answer")
        equal(client.get("/api/nothing").status, 404, "a refused one")
        bad = client.get("/api/features", headers={"Observe-Key": "sk-bad"})
        equal(bad.status, 401, "a bad key")
        kinds, values = parse(client.get("/metrics").body.decode())
        # Only with a certificate.
        names = documented() - {"margind_tls_certificate_expires_timestamp_seconds"}
        equal(sorted(kinds), sorted(names), "names in /metrics and in README.md")
        for name in names:
            if name.endswith("_max") and name != "margind_memory_max":
                ensure(name[:-4] in names, "a limit of nothing: " + name)
                ensure(values[name] >= values[name[:-4]], "past its limit: " + name)
        expected = {"margind_ready": 1, "margind_events_accepted_total": 50, "margind_keys": 50,
                    "margind_batches": 0, "margind_queued_batches": 0, "margind_jobs": 0,
                    "margind_memory_full": 0, "margind_amendments_waiting": 0,
                    "margind_answers_refused_total": 2, "margind_answers_overloaded_total": 0,
                    "margind_bad_credentials_total": 1, "margind_expiring": 0,
                    "margind_memory_max_bytes": 4 << 30}
        for name, value in expected.items():
            equal(values[name], value, name)
        for name in ("margind_control_bytes", "margind_append_seconds_total",
                     "margind_retained_from_timestamp_milliseconds", "margind_log_readers_max",
                     "margind_answers_good_total", "margind_rate_limit_windows"):
            ensure(values[name] > 0, name)


def test_customers_are_counted(context):
    """What an upload puts into memory counts against its bound, until it is taken away again."""
    with context.server() as server:
        client = server.client()

        def counted():
            return parse(client.get("/metrics").body.decode())[1]["margind_counted_bytes"]

        before = counted()
        customers = [{"customer_id": "customer-%d" % n, "name": "n" * 200, "email": "e" * 200}
                     for n in range(4000)]
        reply = client.send("POST", "/api/data/upload/revenue", {"customers": customers})
        equal(reply.status, 200, "upload (%r)" % reply.body[:200])
        more = counted() - before
        ensure(more > 4000 * 400, "%d bytes more" % more)
        reply = client.send("POST", "/api/data/upload/revenue", {"customers": customers[:1]})
        equal(reply.status, 200, "another")
        rest = counted() - before
        ensure(more - rest > 4000 * 400, "%d of %d bytes are still there" % (rest, more))
