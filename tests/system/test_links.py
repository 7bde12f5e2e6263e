"""Links of customers with Stripe customers, from events that name both."""

import time

from harness import ensure, equal


def event(customer, stripe=None, **more):
    event = {"eventName": "e", "customerReferenceId": customer, "featureKey": "f", "costAmount": 1}
    if stripe is not None:
        event["meta"] = {"plan": "pro", "stripe_customer_id": stripe}
    return dict(event, **more)


def links(client):
    rows = client.good("/api/customers?limit=500")["data"]
    return {row["customer_id"]: row["stripe_customer_id"] for row in rows}


def wait_for(client, wanted):
    end = time.monotonic() + 10
    while links(client) != wanted and time.monotonic() < end:
        time.sleep(0.02)
    equal(links(client), wanted, "links")


def settle():
    """So long that whatever is noted has been linked."""
    time.sleep(0.5)


def test_first_link_wins(context):
    with context.server() as server:
        client = server.client()
        client.ingest([event("a", "cus_1"), event("b", "cus_2"), event("plain"),
                       event("odd", ""), event("number", 7),
                       event("none", meta={"note": "stripe_customer_id"})])
        wanted = {"a": "cus_1", "b": "cus_2", "plain": None, "odd": None, "number": "7",
                  "none": None}
        wait_for(client, wanted)
        client.ingest([event("a", "cus_9"), event("c", "cus_1"), event("plain", "cus_3")])
        wanted.update({"plain": "cus_3", "c": None})
        wait_for(client, wanted)
        settle()
        equal(links(client), wanted, "the first link stays")
        for hard in (False, True):
            server.restart(hard)
            client = server.client()
            equal(links(client), wanted, "after a restart")
        client.ingest([event("d", "\u2603 \"x\"")])
        wait_for(client, dict(wanted, d="\u2603 \"x\""))


def test_rejected_and_repeated(context):
    """Only events that are stored link."""
    with context.server() as server:
        client = server.client()
        client.ingest([event("a", idempotencyKey="k")])
        answer = client.ingest([event("a", "cus_1", idempotencyKey="k"),
                                event("b", "cus_2", costAmount="x")])
        equal((answer["accepted"], answer["duplicates"]), (0, 1), "neither")
        settle()
        equal(links(client), {"a": None}, "no link")
        client.ingest([event("a", "cus_1")])
        wait_for(client, {"a": "cus_1"})


def test_single_events(context):
    with context.server() as server:
        client = server.client()
        reply = client.send("POST", "/api/v1/client/events",
                            {"eventName": "e", "customerReferenceId": "a", "featureKey": "f",
                             "meta": {"deep": {"x": 1}, "stripe_customer_id": "cus_1"}})
        equal(reply.status, 201, "stored")
        wait_for(client, {"a": "cus_1"})


def test_crash(context):
    """A link whose event was acknowledged comes, though the server dies at once."""
    with context.server() as server:
        client = server.client()
        wanted = {}
        for turn in range(6):
            names = ["c%d-%d" % (turn, i) for i in range(60)]
            answer = client.ingest([event(name, "cus_" + name) for name in names])
            equal(answer["accepted"], len(names), "accepted")
            wanted.update({name: "cus_" + name for name in names})
            server.restart(hard=True)
            client = server.client()
        end = time.monotonic() + 20
        missing = set(wanted)
        while missing and time.monotonic() < end:
            time.sleep(0.1)
            found = {}
            for offset in range(0, len(wanted), 500):
                rows = client.good("/api/customers?limit=500&offset=%d" % offset)["data"]
                found.update({row["customer_id"]: row["stripe_customer_id"] for row in rows})
            missing = {name for name in wanted if found.get(name) != wanted[name]}
        ensure(not missing, "without their links: %d" % len(missing))
        server.verify()


def test_two_accounts(context):
    with context.server() as server:
        client = server.client()
        reply = client.send("POST", "/api/signup",
                            {"email": "you@example.com",
                             "scopes": ["events.write", "customers.read"]}, key=False)
        other = server.client(key=reply.json["key"])
        client.ingest([event("a", "cus_1")])
        other.ingest([event("b", "cus_1")])
        wait_for(client, {"a": "cus_1"})
        wait_for(other, {"b": "cus_1"})
