#!/usr/bin/env python3
"""How long the first page of every list and analytics endpoint takes, at scale, while ingest runs.

usage: bench/reading.py BUILD [WORD...]     only paths with one of the words in them

Makes 100,000 customers with subscriptions, 500 features, 200 models and BENCH_READING_EVENTS events
(10 million) over the last month and some over a year, unless BENCH_READING_DATA names a data
directory that has them; then asks each endpoint in turn, BENCH_READING_ROUNDS (200) times, while
margin-load sends as many events a second as BENCH_READING_RATES says (20000,500000: a usual day,
and about all that two cores can take; what was stored is printed). Prints p50 and p99 of each
against 20 ms. The p99 of 200 is the third worst.

BENCH_DIR      where the data directory goes: a real disk, not tmpfs (/var/tmp)
"""

import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import time

CUSTOMERS, FEATURES, MODELS = 100000, 500, 200
GOAL_MS = 20
ROUNDS = int(os.environ.get("BENCH_READING_ROUNDS", "200"))
RATES = [int(rate) for rate in os.environ.get("BENCH_READING_RATES", "20000,500000").split(",")]
PAUSE_S = 0.002  # between two questions
PATHS = [
    "/api/events", "/api/events?customer_id=cust_0000007", "/api/events/by-feature?limit=50",
    "/api/events/by-customer?limit=50", "/api/events/by-model?limit=50",
    "/api/events/by-cost-type", "/api/events/traces", "/api/features?limit=50",
    "/api/features?limit=50&days=30", "/api/features/feature_007?limit=50",
    "/api/models?limit=50", "/api/customers", "/api/customers?offset=50000",
    "/api/customers/cust_0000007", "/api/customers/cust_0000007/timeseries",
    "/api/subscriptions", "/api/plans", "/api/metrics/summary", "/api/metrics/source-breakdown",
    "/api/analytics/customer-pnl?limit=50", "/api/analytics/margin-alerts?limit=50",
    "/api/analytics/overview", "/api/analytics/daily-summary", "/api/analytics/trends",
    "/api/analytics/retention", "/api/analytics/mrr-movements?limit=50",
    "/api/analytics/revenue-confidence", "/api/analytics/cost-by-token-type",
    "/api/analytics/cost-by-token-type?days=365", "/api/events/by-customer?limit=50&days=45",
    "/api/features?limit=50&days=45", "/api/analytics/customer-pnl?limit=50&days=45",
    "POST /api/analytics/suggest-pricing?limit=50",
]


class Server:
    def __init__(self, build, data):
        self.build, self.data = build, data
        self.log = data + ".log"

    def start(self):
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [self.build + "/margind", "--data-dir", self.data, "--http-listen", "127.0.0.1:0",
                 "--wire-listen", "127.0.0.1:0", "--limit-management", "0"], stderr=log)
        while True:
            with open(self.log) as log:
                line = next((line for line in log if "event=ready" in line), None)
            if line:
                break
            if self.process.poll() is not None:
                sys.exit("bench: the server did not start: see " + self.log)
            time.sleep(0.05)
        words = dict(word.split("=", 1) for word in line.split() if "=" in word)
        self.http, self.wire = words["http"], words["wire"]
        with open(self.data + "/api-key") as key:
            self.key = key.read().strip()
        return self

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def load(self, *options, **more):
        return subprocess.Popen(
            [self.build + "/margin-load", "--http", self.http, "--server", self.wire, "--key",
             self.key, "--customers", str(CUSTOMERS), "--features", str(FEATURES), *options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)


def some_events(count, now):
    """Every customer, feature and model, over a year."""
    for i in range(count):
        stamp = now - i * 7919 % (365 * 86400)
        yield ('{"eventName":"e","customerReferenceId":"cust_%07d","featureKey":"feature_%03d",'
               '"model":"model-%d","modelProvider":"p%d","inputTokens":%d,"outputTokens":%d,'
               '"costAmount":0.0%02d,"revenueAmount":0.%04d,"timestamp":"%s"}\n'
               % (i % CUSTOMERS, i * 31 % FEATURES, i % MODELS, i % MODELS % 5, i % 5000, i % 700,
                  i % 99 + 1, i % 9973, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(stamp))))


def make_data(build, data):
    server = Server(build, data).start()
    ingest = subprocess.Popen([build + "/marginctl", "ingest", "-", "--server", server.wire,
                               "--key", server.key], stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, text=True)
    ingest.stdin.writelines(some_events(3 * CUSTOMERS, int(time.time())))
    ingest.stdin.close()
    ingest.wait()
    events = os.environ.get("BENCH_READING_EVENTS", "10M")
    server.load("--mode", "wire", "--spread", "--batch", "4096", "--events", events).wait()
    server.stop()
    subprocess.run([build + "/bench-directory", data, str(CUSTOMERS)], check=True)


def ask(connection, key, path):
    method, _, target = path.rpartition(" ")
    start = time.perf_counter()
    connection.request(method or "GET", target, body="{}" if method else None,
                       headers={"Authorization": "Bearer " + key})
    reply = connection.getresponse()
    body = reply.read()
    if reply.status != 200:
        sys.exit("bench: %s: %d %s" % (path, reply.status, body[:200]))
    return (time.perf_counter() - start) * 1000


def stored(server, connection):
    connection.request("GET", "/metrics")
    for line in connection.getresponse().read().decode().splitlines():
        if line.startswith("margind_events_accepted_total "):
            return float(line.split()[1])
    sys.exit("bench: /metrics does not say how many events were stored")


def measure(server, paths, rate):
    """Times of each path in ms, and how many events a second were stored meanwhile."""
    host, port = server.http.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port))
    load = server.load("--mode", "http", "--connections", "4", "--batch", "500", "--seconds",
                       "600", "--rate", str(rate))
    time.sleep(1)
    times = {path: [] for path in paths}
    for path in paths:
        ask(connection, server.key, path)  # what is kept is made
    before, start = stored(server, connection), time.perf_counter()
    for _ in range(ROUNDS):
        for path in paths:
            times[path].append(ask(connection, server.key, path))
            time.sleep(PAUSE_S)
    count = stored(server, connection) - before
    seconds = time.perf_counter() - start
    load.terminate()
    load.wait()
    return times, count / seconds


def quantile(values, share):
    return sorted(values)[int((len(values) - 1) * share)]


def report(paths, results):
    print("%-50s" % "first page while ingest runs: ms", end="")
    for _, rate in results:
        print("%19s" % ("%.0f k events/s" % (rate / 1000)), end="")
    print("\n%-50s%s   goal %d ms" % ("", "       p50      p99" * len(results), GOAL_MS))
    for path in paths:
        print("%-50s" % path, end="")
        over = False
        for times, _ in results:
            p99 = quantile(times[path], 0.99)
            over = over or p99 > GOAL_MS
            print("%10.2f%9.2f" % (quantile(times[path], 0.5), p99), end="")
        print("   over" if over else "")


def main():
    build, words = sys.argv[1], sys.argv[2:]
    paths = [path for path in PATHS if not words or any(word in path for word in words)]
    given = os.environ.get("BENCH_READING_DATA")
    work = tempfile.mkdtemp(prefix="margin-bench.", dir=os.environ.get("BENCH_DIR", "/var/tmp"))
    data = given or work + "/data"
    try:
        if not given:
            make_data(build, data)
        server = Server(build, data).start()
        results = [measure(server, paths, rate) for rate in RATES]
        server.stop()
    finally:
        shutil.rmtree(work)
    report(paths, results)


if __name__ == "__main__":
    main()
