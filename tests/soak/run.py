#!/usr/bin/env python3
"""Full load and hostile clients side by side for some minutes, while memory is recorded. It must be
flat once the server is warm: what it has beyond figures and keys, which are kept for every event,
and these must not take more than events are worth.

usage: run.py --build DIR [--minutes N] [--net uring|epoll] [--record FILE]

Load: batches over HTTP and the binary socket at full speed, the same keys again after a while, and
beside it new events at a fixed rate. Every second goes to the record: seconds, events, private and
counted bytes, connections.
"""

import argparse
import gzip
import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "system"))

import harness  # noqa: E402

MIB = 1 << 20
NEW_EVENTS_A_SECOND = 20000
REPEATED_EVENTS = 1000000  # of each seed, so many are new once and duplicates from then on
SEEDS = 4
EVENT_BYTES_MOST = 400     # of figures, keys and traces for a new event of the generator
SLACK_BYTES = 64 * MIB     # noise: snapshots, merges, freed memory that is kept
SLACK_SHARE = 0.15


class Soak:
    def __init__(self, options, server):
        self.options = options
        self.server = server
        self.end = time.monotonic() + 60 * options.minutes
        self.counts = {}
        self.failures = []
        self.rows = []

    def running(self):
        return time.monotonic() < self.end and not self.failures

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    # --- load -----------------------------------------------------------------------------------

    def load(self, *arguments):
        command = [os.path.join(self.options.build, "margin-load"), "--http",
                   "127.0.0.1:%d" % self.server.port, "--server",
                   "127.0.0.1:%d" % self.server.wire_port, "--data-dir", self.server.dir, "--json"]
        done = subprocess.run(command + list(arguments), capture_output=True, text=True)
        if done.returncode != 0 and self.running():
            self.failures.append("margin-load: %s%s" % (done.stdout, done.stderr))

    def repeat(self, mode):
        turn = 0
        while self.running():
            self.load("--mode", mode, "--events", str(REPEATED_EVENTS), "--connections", "4",
                      "--seed", str(turn % SEEDS))
            self.count("runs over " + mode)
            turn += 1

    def fresh(self):
        left = self.end - time.monotonic()
        self.load("--mode", "http", "--rate", str(NEW_EVENTS_A_SECOND), "--batch", "500",
                  "--seconds", str(max(1, int(left))))

    def friend(self):
        """One client that behaves and must be served, whatever the others do."""
        number = 0
        while self.running():
            client = self.server.client()
            for _ in range(20):
                client.ingest([{"eventName": "chat", "customerReferenceId": "friend",
                                "featureKey": "f", "idempotencyKey": "friend-%d" % number}])
                number += 1
                client.good("/api/events?limit=5&customer_id=friend")
                time.sleep(0.05)
            client.close()
        rows = self.server.client().good("/api/events?limit=1&customer_id=friend")
        if rows["total"] != number:
            self.failures.append("the friend's events: %d sent, %r" % (number, rows["total"]))
        self.counts["served to the friend"] = 2 * number

    # --- harm -----------------------------------------------------------------------------------

    def connect(self, wire=False):
        port = self.server.wire_port if wire else self.server.port
        return socket.create_connection(("127.0.0.1", port), timeout=20)

    def post(self, body, *fields):
        lines = ["POST /api/events/ingest HTTP/1.1", "Host: x", "Observe-Key: " + self.server.key,
                 "Content-Length: %d" % len(body)]
        return "\r\n".join(lines + list(fields) + ["", ""]).encode() + body

    def slow(self, random_numbers):
        sockets = [self.connect() for _ in range(100)]
        for one in sockets:
            one.sendall(b"POST /api/events/ingest HTTP/1.1\r\nX: ")
        for _ in range(20):
            time.sleep(0.2)
            for one in random_numbers.sample(sockets, 50):
                try:
                    one.send(b"a")
                except OSError:
                    pass
        return sockets

    def bomb(self, random_numbers):
        one = self.connect()
        one.sendall(self.post(self.bomb_body, "Content-Encoding: gzip"))
        answer = one.recv(4096)
        if not answer.startswith((b"HTTP/1.1 413", b"HTTP/1.1 503")):
            self.failures.append("a bomb got %r" % answer[:100])
        return [one]

    def never_reads(self, random_numbers):
        sockets = []
        for _ in range(5):
            one = self.connect()
            one.setblocking(False)
            sockets.append(one)
        for _ in range(30):
            for one in sockets:
                try:
                    one.send(b"GET /api/pricing/models HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
                except OSError:
                    pass
            time.sleep(0.1)
        return sockets

    def garbage(self, random_numbers):
        sockets = []
        for number in range(20):
            one = self.connect(wire=number % 2 == 0)
            sockets.append(one)
            one.send(random_numbers.randbytes(random_numbers.randrange(1, 20000)))
        return sockets

    def broken(self, random_numbers):
        """Good requests with a few bytes changed, cut off anywhere."""
        good = self.post(b'{"events":[{"eventName":"e","customerReferenceId":"broken",'
                         b'"featureKey":"f","costAmount":0.25,"meta":{"a":"b"}}]}')
        sockets = []
        for _ in range(50):
            data = bytearray(good)
            for _ in range(random_numbers.randrange(4)):
                data[random_numbers.randrange(len(data))] = random_numbers.randrange(256)
            one = self.connect()
            sockets.append(one)
            one.send(bytes(data[:random_numbers.randrange(1, len(data) + 1)]))
        return sockets

    def half_bodies(self, random_numbers):
        sockets = []
        for _ in range(8):
            one = self.connect()
            sockets.append(one)
            one.send(self.post(b"x" * (8 * MIB))[:random_numbers.randrange(1000, 200000)])
        time.sleep(0.5)
        return sockets

    def flood(self, random_numbers):
        for _ in range(500):
            self.connect().close()
        return []

    def harm(self, deed):
        random_numbers = random.Random(deed.__name__)
        while self.running():
            sockets = []
            try:
                sockets = deed(random_numbers)
                self.count(deed.__name__)
            except OSError:
                self.count(deed.__name__ + ", cut off")
            for one in sockets:
                one.close()
            time.sleep(0.3)

    # --- looking --------------------------------------------------------------------------------

    def metrics(self, client):
        values = {}
        for line in client.get("/metrics").body.decode().splitlines():
            if not line.startswith("#") and "{" not in line:
                name, value = line.split(" ")
                values[name] = float(value)
        return values

    def watch(self):
        client = self.server.client()
        begin = time.monotonic()
        with open(self.options.record, "w", encoding="ascii") as record:
            record.write("seconds,events,private,counted,connections\n")
            while self.running():
                values = self.metrics(client)
                row = (time.monotonic() - begin, values["margind_log_events"],
                       values["margind_private_bytes"], values["margind_counted_bytes"],
                       values["margind_connections"])
                self.rows.append(row)
                record.write("%.1f,%d,%d,%d,%d\n" % row)
                record.flush()
                time.sleep(1)

    def run(self):
        self.bomb_body = gzip.compress(bytes(64 * MIB))
        deeds = (self.slow, self.bomb, self.never_reads, self.garbage, self.broken,
                 self.half_bodies, self.flood)
        work = [lambda: self.repeat("http"), lambda: self.repeat("wire"), self.fresh, self.friend,
                self.watch] + [lambda d=d: self.harm(d) for d in deeds]
        threads = [threading.Thread(target=self.guard, args=(w,)) for w in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def guard(self, work):
        try:
            work()
        except Exception as error:  # told by the thread that waits
            if self.running():
                self.failures.append("%s: %r" % (type(error).__name__, error))

    # --- judging --------------------------------------------------------------------------------

    def judge(self):
        """The second quarter is warm; the last one must be like it."""
        count = len(self.rows)
        if count < 40:
            self.failures.append("only %d seconds were seen" % count)
            return
        early = self.rows[count // 4:count // 2]
        late = self.rows[3 * count // 4:]
        rest = [statistics.median(row[2] - row[3] for row in part) for part in (early, late)]
        total = [statistics.median(row[2] for row in part) for part in (early, late)]
        counted = [statistics.median(row[3] for row in part) for part in (early, late)]
        events = [statistics.median(row[1] for row in part) for part in (early, late)]
        print("private %d -> %d MiB, counted %d -> %d MiB, events %d -> %d"
              % (total[0] // MIB, total[1] // MIB, counted[0] // MIB, counted[1] // MIB,
                 events[0], events[1]))
        if rest[1] - rest[0] > SLACK_BYTES + SLACK_SHARE * total[0]:
            self.failures.append("memory that is not counted grew by %d MiB"
                                 % ((rest[1] - rest[0]) // MIB))
        worth = EVENT_BYTES_MOST * (events[1] - events[0]) + SLACK_BYTES
        if counted[1] - counted[0] > worth:
            self.failures.append("%d MiB more for %d events" % ((counted[1] - counted[0]) // MIB,
                                                               events[1] - events[0]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--net", default="auto", choices=("auto", "uring", "epoll"))
    parser.add_argument("--record")
    options = parser.parse_args()
    options.record = options.record or os.path.join(options.build, "soak.csv")
    arguments = ["--snapshot-events", "2000000", "--idle-seconds", "5"]
    with harness.Server(options.build, options.net, arguments=arguments) as server:
        soak = Soak(options, server)
        soak.run()
        soak.judge()
        for what, count in sorted(soak.counts.items()):
            print("%8d %s" % (count, what))
        server.verify()
        server.stop()
    for failure in soak.failures:
        print("FAIL " + failure)
    print("soak: %s; %s" % ("failed" if soak.failures else "passed", options.record))
    return 1 if soak.failures else 0


if __name__ == "__main__":
    sys.exit(main())
