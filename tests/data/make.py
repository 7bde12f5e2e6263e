#!/usr/bin/env python3
"""Makes a data directory as a build writes it, with something of everything, and what it answers.

usage: make.py BUILD NAME

Writes NAME.tar.xz beside this file: the directory, and answers.json. Run it with the last build of a format before
the format changes; system/test_upgrade.py opens them with every build from then on.
"""

import json
import os
import subprocess
import sys
import tarfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "system"))

import oracle  # noqa: E402
import scenario  # noqa: E402
from harness import Server  # noqa: E402

NOW_MS = oracle.parse_ms("2026-11-15T12:00:00Z")
EVENTS = 260
CONTENT = ["FORMAT", "api-key", "log/data.mdb", "control/data.mdb", "snapshots", "answers.json"]

# What is asked: nothing whose answer depends on the day.
PATHS = (["/api/events?limit=200&offset=%d" % offset for offset in range(0, 400, 200)] +
         ["/api/events?limit=50&source=csv", "/api/events?limit=50&trace_id=trace-7",
          "/api/events/by-customer?days=all", "/api/events/by-feature?days=all",
          "/api/events/by-model?days=all", "/api/events/by-cost-type?days=all",
          "/api/events/by-agent?days=all", "/api/events/traces?limit=100",
          "/api/events/trace/trace-7", "/api/features?days=all", "/api/customers?days=all",
          "/api/plans", "/api/subscriptions", "/api/feature-pricing", "/api/feature-definitions",
          "/api/pricing/log", "/api/settings", "/api/sdk-keys", "/api/data/status",
          "/api/events/1", "/api/events/100"])


def good(reply):
    assert reply.status < 300, (reply.status, reply.body)
    return reply.json


def fill(build, server):
    """Events, prices, a key, uploads one of which takes the place of another, a backfill."""
    client = server.client()
    client.check = lambda *arguments: None  # an older build has an older schema
    good(client.send("POST", "/api/feature-pricing",
                     {"feature_key": "feature-1", "revenue_per_unit": 0.25}))
    good(client.send("PATCH", "/api/settings", {"body_capture": True}))
    events = scenario.make(2026, EVENTS, prefix="old", now_ms=NOW_MS)
    events[99]["requestBody"] = {"prompt": "What does it cost?"}
    for first in range(0, EVENTS, 65):
        good(client.send("POST", "/api/events/ingest", {"events": events[first:first + 65]}))
    good(client.send("POST", "/api/feature-pricing",
                     {"feature_key": "feature-2", "revenue_per_unit": 0.5}))
    good(client.send("PUT", "/api/pricing/models/gpt-4o", {
        "input_cost_per_million": 1, "output_cost_per_million": 2}))
    good(client.send("POST", "/api/backfill/revenue", {}))
    for cost in (10, 12.5):
        good(client.send("POST", "/api/data/upload/costs", {"records": [
            {"month": "2026-%02d" % month, "cost": cost * month, "customer_id": "acme",
             "provider": "openai"} for month in range(1, 11)]}))
    good(client.send("POST", "/api/data/upload/revenue", {
        "customers": [{"customer_id": "acme", "name": "Acme, Inc."}],
        "plans": [{"plan_id": "pro", "name": "Pro", "price_amount": 99, "interval_months": 1}],
        "subscriptions": [{"subscription_id": "s-1", "customer_id": "acme", "plan_id": "pro",
                           "created_at": "2026-02-01T00:00:00Z"}]}))
    subprocess.run([os.path.join(build, "marginctl"), "key", "create", "--name", "reader",
                    "--scopes", "events.read", "--data-dir", server.dir], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main():
    build, name = sys.argv[1], os.path.join(HERE, sys.argv[2])
    server = Server(build, "auto")
    with server:
        fill(build, server)
        client = server.client()
        client.check = lambda *arguments: None
        answers = {path: client.get(path) for path in PATHS}
        for path, reply in answers.items():
            assert reply.status == 200, (path, reply.status, reply.body)
        answers = {path: json.loads(reply.body) for path, reply in answers.items()}
        server.stop()
        with open(os.path.join(server.dir, "answers.json"), "w", encoding="utf-8") as file:
            json.dump(answers, file, separators=(",", ":"), sort_keys=True)
        with tarfile.open(name + ".tar.xz", "w:xz", preset=9) as archive:
            for path in CONTENT:
                archive.add(os.path.join(server.dir, path), path)


if __name__ == "__main__":
    main()
