"""Several clients at once: what is acknowledged is visible, and an orderly end loses nothing."""

import http.client
import json
import signal
import socket
import threading
import time

from harness import Failure, ensure, equal, nets


def event(customer, number):
    return {"eventName": "chat", "customerReferenceId": customer, "featureKey": "search",
            "costAmount": 1, "idempotencyKey": "%s-%d" % (customer, number)}


def together(functions):
    failures = []

    def run(function):
        try:
            function()
        except Exception as error:  # reported by the thread that waits
            failures.append(error)

    threads = [threading.Thread(target=run, args=(f,)) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise Failure("in a client: %r" % failures[0])


def test_acknowledged_is_visible(context):
    """The next query after an answer sees its events, in figures, lists and by id."""
    with context.server(arguments=["--front-threads", "3"]) as server:
        def run(customer):
            client = server.client()
            sent = 0
            for size in (1, 3, 1, 200, 1, 40, 1, 1, 900, 2):
                client.ingest([event(customer, sent + n) for n in range(size)])
                sent += size
                page = client.good("/api/events?limit=1&customer_id=" + customer)
                equal(page["total"], sent, "listed events of " + customer)
                rows = client.good("/api/events/by-customer")
                mine = [r for r in rows if r["customer_id"] == customer]
                equal(mine[0]["event_count"], sent, "counted events of " + customer)
                equal(mine[0]["total_cost"], sent, "cost of " + customer)
                id = page["events"][0]["id"]
                equal(client.good("/api/events/%d" % id)["customer_id"], customer, "by id")

        together([lambda c=c: run("customer-%d" % c) for c in range(6)])


def test_stop_under_load(context):
    with context.server() as server:
        acknowledged = {}
        stopping = threading.Event()

        def run(customer):
            sent = 0
            try:
                client = server.client()
                while True:
                    client.ingest([event(customer, sent + n) for n in range(25)])
                    sent += 25
                    acknowledged[customer] = sent
            except (OSError, http.client.HTTPException):
                ensure(stopping.is_set(), "the server closed before it was told to stop")
            except Failure:
                ensure(stopping.is_set(), "refused before it was told to stop")

        def stop():
            time.sleep(0.7)
            stopping.set()
            server.stop()

        together([lambda c=c: run("customer-%d" % c) for c in range(6)] + [stop])
        server.start()
        rows = server.client().good("/api/events/by-customer")
        stored = {row["customer_id"]: row["event_count"] for row in rows}
        for customer, sent in acknowledged.items():
            ensure(stored[customer] in (sent, sent + 25),
                   "%s: %d acknowledged, %d stored" % (customer, sent, stored[customer]))


def test_many_connections(context):
    with context.server(arguments=["--front-threads", "2"]) as server:
        clients = [server.client() for _ in range(200)]
        for number, client in enumerate(clients):
            client.ingest([event("shared", number)])
        for client in clients:
            equal(client.get("/healthz").status, 200, "a connection")
        equal(clients[0].good("/api/events?limit=1")["total"], 200, "stored")
        for client in clients:
            client.close()


def test_burst_past_capacity(context):
    """Far more requests at one instant than the path holds: each is taken or refused whole."""
    count, size = 600, 260
    with context.server(arguments=["--front-threads", "1"]) as server:
        sockets, bodies = [], []
        for number in range(count):
            events = [event("customer-%d" % number, n) for n in range(size)]
            body = json.dumps({"events": events}).encode()
            head = ("POST /api/events/ingest HTTP/1.1\r\nHost: x\r\nObserve-Key: %s\r\n"
                    "Content-Length: %d\r\n\r\n" % (server.key, len(body)))
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
            connection.sendall(head.encode() + body[:-1])
            sockets.append(connection)
            bodies.append(body)
        server.process.send_signal(signal.SIGSTOP)  # so that all of them end at one instant
        for connection, body in zip(sockets, bodies):
            connection.sendall(body[-1:])
        server.process.send_signal(signal.SIGCONT)
        refused = []
        for number, connection in enumerate(sockets):
            answer = connection.recv(65536).decode()
            status = int(answer.split(" ", 2)[1])
            ensure(status in (200, 503), "status %d" % status)
            if status == 503:
                ensure("Retry-After: 1\r\n" in answer and '"overloaded"' in answer, answer)
                refused.append(number)
            connection.close()
        client = server.client()
        rows = client.good("/api/events/by-customer")
        equal({r["customer_id"]: r["event_count"] for r in rows},
              {"customer-%d" % n: size for n in range(count) if n not in refused}, "stored")
        for number in refused:
            reply = client.send("POST", "/api/events/ingest", bodies[number])
            equal((reply.status, reply.json["accepted"]), (200, size), "sent again")
        overloaded = [line for line in client.get("/metrics").body.decode().splitlines()
                      if line.startswith("margind_overloaded_total ")]
        equal(overloaded, ["margind_overloaded_total %d" % len(refused)], "metric")


@nets("epoll")
def test_spread(context):
    """Events of `margin-load --spread` lie in all of the last 30 days, not in the first few."""
    with context.server() as server:
        done = context.tool("margin-load", "--mode", "wire", "--spread", "--batch", 100, "--events",
                            25600, "--server", "127.0.0.1:%d" % server.wire_port, "--data-dir",
                            server.dir)
        equal(done.returncode, 0, done.stderr)
        counts = {days: sum(row["event_count"] for row in server.client().good(
            "/api/events/by-model?days=%d" % days)) for days in (7, 31)}
        equal(counts[31], 25600, "events")
        ensure(0.1 < counts[7] / counts[31] < 0.5, "of the last week: %r" % counts)
