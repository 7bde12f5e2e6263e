"""Clients that mean harm: bombs, slow ones, floods of connections, ones that never read, and ones
that name new things without end. Memory and counts have bounds here; times only ratios."""

import gzip
import os
import resource
import select
import socket
import struct
import subprocess
import threading
import time
import zlib

from harness import Failure, alone, ensure, equal, once

MIB = 1 << 20
INGEST = "/api/events/ingest"
BOMB = 64 * MIB  # what one bomb becomes: four times what a body may be


def event(**fields):
    return dict({"eventName": "chat", "customerReferenceId": "acme", "featureKey": "search"},
                **fields)


def more_files(count):
    """Descriptors for many connections, for this process and the servers that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


def private(server):
    """Bytes of the server's pages that are no file's."""
    with open("/proc/%d/status" % server.process.pid, encoding="ascii") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise Failure("no RssAnon")


class Peak:
    """The most private memory while a block runs, seen every few milliseconds."""

    def __init__(self, server):
        self.server = server
        self.most = self.begin = private(server)
        self.done = threading.Event()

    def run(self):
        while not self.done.wait(0.005):
            self.most = max(self.most, private(self.server))

    def __enter__(self):
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def growth(self):
        return self.most - self.begin


def metric(client, name):
    for line in client.get("/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return int(float(line.split()[1]))
    raise Failure("no metric " + name)


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


def status_of(data):
    ensure(data.startswith(b"HTTP/1.1 "), "no answer: %r" % data[:100])
    return int(data[9:12])


# --- bombs --------------------------------------------------------------------------------------

def zstd(data, *options):
    return subprocess.run(["zstd", "-q", "-c", *options], input=data, stdout=subprocess.PIPE,
                          check=True).stdout


def bombs():
    """Name, Content-Encoding, body, the answers that are right."""
    zeros = bytes(BOMB)
    inside = b'{"events":[{"eventName":"' + zeros + b'"}]}'
    packed = gzip.compress(zeros)
    yield "gzip", "gzip", packed, (413,)
    yield "gzip of JSON", "gzip", gzip.compress(inside), (413,)
    yield "many members", "gzip", gzip.compress(zeros[:MIB]) * 1024, (413,)
    yield "members of nothing", "gzip", gzip.compress(b"") * 50000, (400,)
    yield "gzip in gzip", "gzip", gzip.compress(packed), (400,)
    yield "gzip in gzip, said so", "gzip, gzip", gzip.compress(packed), (415,)
    yield "gzip in zstd, said so", "gzip, zstd", zstd(packed), (415,)
    yield "zlib", "gzip", zlib.compress(zeros), (400,)
    yield "zstd", "zstd", zstd(zeros), (413,)
    yield "zstd of an unknown length", "zstd", zstd(zeros, "--no-content-size"), (413,)
    yield "zstd of a large window", "zstd", zstd(zeros, "--long=31", "--ultra", "-22"), (400, 413)
    yield "many frames", "zstd", zstd(zeros[:MIB]) * 1024, (413,)
    yield "zstd that claims all there is", "zstd", b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 8, (400, 413)
    yield "claims much and is little", "zstd", zstd(b"{}").replace(b"{}", b""), (400,)
    yield "skippable frames", "zstd", b"\x50\x2a\x4d\x18\xff\xff\xff\x7f" + bytes(100), (400,)


@once
def test_bombs(context):
    with context.server() as server:
        client = server.client()
        client.ingest([event()])
        for name, coding, body, right in bombs():
            with Peak(server) as peak:
                reply = server.client().send("POST", INGEST, body,
                                             headers={"Content-Encoding": coding})
            ensure(reply.status in right, "%s: %d %r" % (name, reply.status, reply.body))
            ensure(peak.growth() < 96 * MIB, "%s took %d MiB" % (name, peak.growth() // MIB))
        equal(client.good("/api/events?limit=1")["total"], 1, "stored")


@once
def test_bombs_together(context):
    """64 at one time: what they would be is 4 GiB, what a server may hold for them far less."""
    with context.server() as server:
        body = gzip.compress(bytes(BOMB))
        request = ("POST %s HTTP/1.1\r\nHost: x\r\nObserve-Key: %s\r\nContent-Encoding: gzip\r\n"
                   "Content-Length: %d\r\n\r\n" % (INGEST, server.key, len(body))).encode() + body
        with Peak(server) as peak:
            sockets = [connect(server) for _ in range(64)]
            for one in sockets:
                one.sendall(request[:-1])
            for one in sockets:
                one.sendall(request[-1:])
            for one in sockets:
                equal(status_of(one.recv(4096)), 413, "a bomb")
                one.close()
        ensure(peak.growth() < 256 * MIB, "%d MiB" % (peak.growth() // MIB))
        equal(server.client().get("/healthz").status, 200, "alive")


# --- many, slow, and never reading --------------------------------------------------------------

def seconds_for(server, count):
    """How long one client takes for so many batches, one after the other."""
    client = server.client()
    begin = time.monotonic()
    for _ in range(count):
        client.ingest([event()] * 10)
        client.good("/api/events/by-customer")
    return time.monotonic() - begin


def connect_slow(server, count):
    """Connections that have begun a head, each other one a body."""
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nX-Slow: " % INGEST.encode()
    body = ("POST %s HTTP/1.1\r\nHost: x\r\nObserve-Key: %s\r\nContent-Length: 100\r\n\r\n"
            % (INGEST, server.key)).encode()
    sockets = [connect(server) for _ in range(count)]
    for number, one in enumerate(sockets):
        one.sendall(head if number % 2 == 0 else body)
    return sockets


@alone
def test_beside_slow_connections(context):
    """1000 slow connections give a byte each between the requests of one that behaves: it has its
    answers within 100 ms (most of them within 2)."""
    more_files(4096)
    with context.server() as server:
        client = server.client()
        sockets = connect_slow(server, 1000)
        times = []
        for number in range(80):
            for one in sockets[number % 4::4]:
                one.send(b"a")
            begin = time.monotonic()
            client.ingest([event()] * 10)
            times.append(time.monotonic() - begin)
        times.sort()
        # The machine may be busy with something else for a while.
        ensure(times[len(times) * 9 // 10] < 0.1, "beside slow ones: %r" % times[-10:])
        for one in sockets:
            one.close()


@alone
@once
def test_slow_connections(context):
    """1000 connections give a byte now and then, in heads and in bodies. Who behaves is served
    beside them, and they are given up after ten seconds (a head) or thirty (a body)."""
    more_files(4096)
    count = 1000
    with context.server() as server:
        alone = min(seconds_for(server, 40) for _ in range(3))
        begin = time.monotonic()
        sockets = connect_slow(server, count)
        beside = []
        closed = set()
        heads = set(range(0, count, 2))
        while not heads <= closed and time.monotonic() - begin < 60:
            for number, one in enumerate(sockets):
                try:
                    if number not in closed:
                        one.send(b"a")
                except OSError:
                    closed.add(number)
            if len(beside) < 3:
                beside.append(seconds_for(server, 40))
            readable = poll(sockets, closed)
            for one in readable:
                closed.add(sockets.index(one))
        took = time.monotonic() - begin
        ensure(heads <= closed, "%d slow heads are still served" % len(heads - closed))
        ensure(took > 5, "given up after %.1f s" % took)
        ensure(min(beside) < 20 * alone + 2,
               "%.2f s beside the slow ones, %.2f s alone" % (min(beside), alone))
        equal(metric(server.client(), "margind_overloaded_total"), 0, "refused")
        for one in sockets:
            one.close()


def poll(sockets, closed):
    """The sockets that have something to say, be it that they are closed."""
    poller = select.poll()
    known = {}
    for number, one in enumerate(sockets):
        if number not in closed:
            poller.register(one, select.POLLIN)
            known[one.fileno()] = one
    return [known[file] for file, _ in poller.poll(200)]


def files_of(server):
    return len(os.listdir("/proc/%d/fd" % server.process.pid))


def wait_for_files(server, most):
    """Until the server has closed what its clients have."""
    deadline = time.monotonic() + 60
    while files_of(server) > most:
        ensure(time.monotonic() < deadline, "%d descriptors stay" % files_of(server))
        time.sleep(0.05)


CONNECTS = 10000


def test_flood_of_connections(context):
    """10,000 connections as fast as they can be made, half of them reset, and a fourth asks and is
    answered; then more at a time than the server holds."""
    more_files(4096)
    most = 200
    settings = ["--front-threads", "1", "--connections-max", str(most),
                "--core-dumps", "on"]  # else only root may count its descriptors
    with context.server(arguments=settings) as server:
        client = server.client()
        client.ingest([event()])
        files = files_of(server)
        linger = struct.pack("ii", 1, 0)
        answered = 0
        begin = time.monotonic()
        with Peak(server) as peak:
            for number in range(CONNECTS):
                one = connect(server)
                if number % 2 == 0:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                elif number % 4 == 1:
                    one.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                    answered += status_of(one.recv(4096)) == 200
                elif number % 5 == 0:
                    one.send(b"GET /healthz HTTP/1.1\r\n")
                one.close()
        print("     %d connections, %.0f a second" % (CONNECTS,
                                                      CONNECTS / (time.monotonic() - begin)))
        equal(answered, CONNECTS // 4, "who asked")
        ensure(peak.growth() < 64 * MIB, "%d MiB" % (peak.growth() // MIB))
        wait_for_files(server, files + 8)
        equal(server.client().get("/healthz").status, 200, "one that comes behind the flood")
        wait_for_files(server, files + 8)
        sockets = [connect(server) for _ in range(3 * most)]
        served = refused = 0
        for one in sockets:
            try:
                one.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                data = one.recv(4096)
            except OSError:
                data = b""
            served += data.startswith(b"HTTP/1.1 200")
            refused += not data.startswith(b"HTTP/1.1 200")
        ensure(most // 2 <= served <= most and served + refused == 3 * most,
               "%d served, %d refused" % (served, refused))
        ensure(files_of(server) <= files + most + 16, "%d descriptors" % files_of(server))
        equal(client.get("/healthz").status, 200, "the one that was there before")
        for one in sockets:
            one.close()
        wait_for_files(server, files + 8)
        server.client().ingest([event()])


def test_never_reads(context):
    """Clients that ask and do not take the answers: they wait in vain, not the others, and are
    closed."""
    with context.server(arguments=["--idle-seconds", "1"]) as server:
        request = b"GET /api/pricing/models HTTP/1.1\r\nHost: x\r\n\r\n" * 50
        with Peak(server) as peak:
            sockets = []
            for _ in range(20):
                one = socket.socket()
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                one.connect(("127.0.0.1", server.port))
                one.setblocking(False)
                sockets.append(one)
            closed = set()
            deadline = time.monotonic() + 60
            while len(closed) < len(sockets):
                ensure(time.monotonic() < deadline, "%d of 20 closed" % len(closed))
                for number, one in enumerate(sockets):
                    try:
                        if number not in closed:
                            one.send(request)
                    except BlockingIOError:
                        pass
                    except OSError:
                        closed.add(number)
                server.client().ingest([event()])
                time.sleep(0.02)
        ensure(peak.growth() < 160 * MIB, "%d MiB" % (peak.growth() // MIB))
        for one in sockets:
            one.close()


# --- new things without end ---------------------------------------------------------------------

def refusals(client, member, names, word, most):
    """Sends an event for each name twice; the names that were refused, both times, as they must."""
    batch = [event(**{member: name}) for name in names + names]
    answer = client.send("POST", INGEST, {"events": batch}).json
    refused = [batch[error["index"]][member] for error in answer["errors"]]
    for error in answer["errors"]:
        equal(error["error"], "the account has reached its limit of %d different %s" % (most, word),
              member)
    equal(answer["accepted"], len(batch) - len(refused), word)
    equal(answer["rejected"], len(refused), word)
    equal(refused[:len(refused) // 2] * 2, refused, word)
    return refused[:len(refused) // 2]


def test_caps(context):
    """Each cap refuses what is new, by event and with its reason, over every way in."""
    settings = ["--account-customers-max", "5", "--account-features-max", "4",
                "--account-models-max", "3", "--account-traces-max", "6",
                "--account-series-max", "12"]
    with context.server(arguments=settings) as server:
        client = server.client()
        client.ingest([event()])
        names = ["n%d" % n for n in range(9)]
        equal(refusals(client, "customerReferenceId", names, "customers", 5), names[4:],
              "customers")
        equal(refusals(client, "featureKey", names, "features", 4), names[3:], "features")
        equal(refusals(client, "model", names, "models", 3), names[3:], "models")
        equal(refusals(client, "traceId", names, "traces", 6), names[6:], "traces")
        # 1 + 4 + 3 + 3 series so far, so one more fits.
        equal(refusals(client, "costType", names, "combinations of names", 12), names[1:], "series")
        total = 1 + 2 * (4 + 3 + 3 + 6 + 1)
        equal(client.good("/api/events?limit=1")["total"], total, "stored")
        one = {"eventName": "chat", "customerReferenceId": "new", "featureKey": "search",
               "eventIdempotencyKey": "k"}
        reply = client.send("POST", "/api/v1/client/events", one)
        equal((reply.status, reply.json["success"]), (400, False), "single event")
        ensure("5 different customers" in reply.json["error"]["message"], reply.body)
        reply = client.send("POST", "/api/v1/client/events", dict(one, customerReferenceId="acme"))
        equal(reply.status, 201, "the key of a refused event is free")
        server.restart()
        names = ["acme", "n0", "n8"]
        equal(refusals(server.client(), "customerReferenceId", names, "customers", 5), ["n8"],
              "after a restart")
        equal(server.client().good("/api/events?limit=1")["total"], total + 1 + 4, "stored")
        server.verify()


@once
def test_memory_max(context):
    """The process stays under the bound: events are refused in time, with Retry-After, reads go on,
    and nothing acknowledged is lost."""
    most = 320 * MIB
    settings = ["--memory-max", "320M", "--snapshot-events", "100000"]
    with context.server(arguments=settings) as server:
        client = server.client()
        accepted = 0
        with Peak(server) as peak:
            for number in range(2000):
                batch = [event(customerReferenceId="customer-%d-%d" % (number, n),
                               traceId="trace-%d-%d" % (number, n),
                               idempotencyKey="%d-%d" % (number, n)) for n in range(1000)]
                reply = client.send("POST", INGEST, {"events": batch})
                if reply.status == 503:
                    break
                equal(reply.json["accepted"], 1000, "accepted")
                accepted += 1000
        equal((reply.status, reply.headers["Retry-After"], reply.json["code"]),
              (503, "1", "overloaded"), "past the bound (%r)" % reply.body[:100])
        ensure(peak.most < most, "%d MiB of 320" % (peak.most // MIB))
        ensure(accepted > 50000, "refused after %d events" % accepted)
        counted = metric(client, "margind_counted_bytes")
        ensure(most // 3 < counted < most, "%d MiB counted" % (counted // MIB))
        equal(client.good("/api/events?limit=1")["total"], accepted, "stored")
        one = client.send("POST", "/api/v1/client/events",
                          {"eventName": "chat", "customerReferenceId": "a", "featureKey": "b"})
        equal((one.status, one.headers["Retry-After"]), (503, "1"), "single event")
        reply = client.send("POST", "/api/data/upload/costs",
                            {"records": [{"month": "2026-01", "cost": 1}]})
        equal((reply.status, reply.headers["Retry-After"]), (503, "1"), "an upload")
        server.restart()
        equal(server.client().good("/api/events?limit=1")["total"], accepted, "after a restart")
