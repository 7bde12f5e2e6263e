"""A full log or disk: a clear refusal, nothing half done, reads go on; room makes it write."""

import contextlib
import os
import subprocess
import tempfile

from harness import Failure, ensure, equal, once

BATCH = 1000


def batch(number):
    """Texts that do not compress, so that a small log fills soon."""
    return [{"eventName": "chat", "customerReferenceId": "customer-%d" % number,
             "featureKey": "search", "costAmount": 0.25,
             "idempotencyKey": os.urandom(60).hex()} for _ in range(BATCH)]


def fill(client, first=0):
    """Sends until the log is full; the batches that were acknowledged and the one that was not."""
    kept = []
    for number in range(first, first + 500):
        events = batch(number)
        reply = client.send("POST", "/api/events/ingest", {"events": events})
        if reply.status != 200:
            return kept, events, reply
        equal(reply.json["accepted"], BATCH, "accepted")
        kept.append(events)
    raise AssertionError("the log never filled")


def check(client, kept):
    rows = {r["customer_id"]: r for r in client.good("/api/events/by-customer")}
    equal(len(rows), len(kept), "customers")
    for events in kept:
        row = rows[events[0]["customerReferenceId"]]
        equal((row["event_count"], row["total_cost"]), (BATCH, BATCH // 4), "a batch")
    equal(client.good("/api/events?limit=1")["total"], BATCH * len(kept), "total")


def test_full_log(context):
    with context.server(arguments=["--log-map-bytes", "16M"]) as server:
        client = server.client()
        kept, refused, reply = fill(client)
        equal((reply.status, reply.json["code"]), (503, "overloaded"), "the answer when full")
        ensure(int(reply.headers["Retry-After"]) >= 1, "Retry-After")
        ensure(len(kept) >= 3, "the log was full after %d batches" % len(kept))
        check(client, kept)
        single = client.send("POST", "/api/v1/client/events",
                             {"eventName": "x" * 100, "meta": {"pad": os.urandom(1000).hex()}})
        ensure(single.status in (201, 503), "single event: %d" % single.status)
        if single.status == 201:
            kept_single = 1
        else:
            equal(single.json["error"]["code"], "overloaded", "code")
            kept_single = 0
        server.restart(hard=True)
        if kept_single == 0:
            check(server.client(), kept)
        server.stop()
        server.arguments = ["--log-map-bytes", "64M"]
        server.start()
        client = server.client()
        if kept_single == 0:
            check(client, kept)
        # The keys of the refused batch are free.
        got = client.ingest(refused)
        equal((got["accepted"], got["duplicates"]), (BATCH, 0), "the refused batch, sent again")
        repeated = client.ingest(kept[0])
        equal((repeated["accepted"], repeated["duplicates"]), (0, BATCH), "a kept batch again")
        page = client.good("/api/events?customer_id=%s&limit=200"
                           % refused[0]["customerReferenceId"])
        equal(page["total"], BATCH, "events of the refused batch")


CONTROL_MAP = 1 << 30  # of the control tables, in the product and in the test
SMALL_CONTROL_MAP = 1 << 20


def start_with_control_map(context, server, small):
    """What is preloaded gives the control tables a map that is soon full."""
    preload = {"LD_PRELOAD": os.path.abspath(os.path.join(context.build, "failing.so")),
               "FAIL_MAP": str(CONTROL_MAP), "FAIL_MAP_BYTES": str(SMALL_CONTROL_MAP)}
    os.environ.update(preload if small else {})
    try:
        server.start()
    finally:
        for name in preload:
            os.environ.pop(name, None)


def define(client, number):
    return client.send("POST", "/api/feature-definitions",
                       {"feature_key": "f-%d" % number, "name": "n", "description": "d" * 3000})


def defined(client):
    return {row["feature_key"]: row["id"]
            for row in client.good("/api/feature-definitions")["definitions"]
            if row["feature_key"].startswith("f-")}


def refused_for_room(reply, what):
    equal((reply.status, reply.json["code"]), (503, "overloaded"), what)
    ensure(int(reply.headers["Retry-After"]) >= 1, what + ": Retry-After")


def fill_control(client, first):
    """Definitions until there is no room; how many there are then."""
    for number in range(first, first + 400):
        reply = define(client, number)
        if reply.status != 201:
            refused_for_room(reply, "a definition")
            return number
    raise AssertionError("the control tables never filled")


def check_full_control(client, kept):
    """Nothing is half done, reads and ingest go on."""
    price = {"input_cost_per_million": 1, "output_cost_per_million": 2}
    sales = {"plans": [{"plan_id": "p%d" % n, "name": "n" * 100, "price_amount": 5}
                       for n in range(200)],
             "customers": [{"customer_id": "s%d" % n, "name": "n" * 100} for n in range(900)],
             "subscriptions": [{"customer_id": "s%d" % n, "plan_id": "p1"} for n in range(900)]}
    refused_for_room(client.send("POST", "/api/data/upload/revenue", sales), "an upload")
    for number in range(3):  # small ones may find a place
        reply = client.send("PUT", "/api/pricing/models/m-%d-%d" % (len(kept), number), price)
        ensure(reply.status == 200 or reply.status == 503, "a price: %d" % reply.status)
    equal(client.good("/api/plans"), [], "plans of a refused upload")
    events = batch(len(kept))
    for event in events[:5]:
        event["meta"] = {"stripe_customer_id": "cus_%d" % len(kept)}  # a link is noted
    equal(client.ingest(events)["accepted"], BATCH, "ingest goes on")
    kept.append(events)
    check(client, kept)


@once
def test_full_control_tables(context):
    """No room for definitions, prices and uploads is said; what takes none goes on, and room is
    made by deleting."""
    # What is preloaded asks for what the sandbox forbids.
    with context.server(arguments=["--sandbox", "off"]) as server:
        server.stop()
        start_with_control_map(context, server, True)
        client = server.client()
        kept = [batch(0)]
        client.ingest(kept[0])
        count = fill_control(client, 0)
        ensure(count >= 10, "full after %d definitions" % count)
        for hard in (True, False):
            check_full_control(client, kept)
            refused_for_room(define(client, count), "again")
            equal(len(defined(client)), count, "definitions")
            (server.kill if hard else server.stop)()
            start_with_control_map(context, server, True)
            client = server.client()
            check(client, kept)
            equal(len(defined(client)), count, "definitions after a start")
        ids = defined(client)
        for number in range(8):
            equal(client.send("DELETE", "/api/feature-definitions/%s" % ids["f-%d" % number])
                  .status, 200, "deleting makes room")
        equal(define(client, count).status, 201, "there is room again")
        equal(len(defined(client)), count - 7, "definitions")
        (server.stop)()
        start_with_control_map(context, server, False)
        client = server.client()
        equal(define(client, count + 1).status, 201, "in a larger map")
        equal(len(defined(client)), count - 6, "definitions")
        check(client, kept)
        server.verify()


DISK_BYTES = 24 << 20


def attempt(*command):
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def small_disk():
    """A file system of its own: ext4 on a loop device, or else in memory; None: not permitted."""
    with tempfile.TemporaryDirectory(prefix="margin-disk.") as place:
        image, at = os.path.join(place, "image"), os.path.join(place, "disk")
        os.mkdir(at)
        with open(image, "wb") as file:
            file.truncate(DISK_BYTES)
        mounted = (attempt("mkfs.ext4", "-q", "-m", "0", image) and
                   attempt("mount", "-o", "loop", image, at)) or \
            attempt("mount", "-t", "tmpfs", "-o", "size=%d" % DISK_BYTES, "tmpfs", at)
        try:
            yield at if mounted else None
        finally:
            if mounted:
                subprocess.run(["umount", at], check=True)


def fill_disk(path, leave):
    """Takes all the room there is but for `leave` bytes."""
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                room = os.statvfs(path)
                more = room.f_bavail * room.f_frsize - leave
                if more <= 0:
                    return
                file.write(b"x" * min(more, 1 << 16))
        except OSError:
            pass


def fill_again(client, kept):
    """What merges gave back inside the log's file is used; then all is refused again."""
    more, refused, reply = fill(client, len(kept))
    equal((reply.status, reply.json["code"]), (503, "overloaded"), "the answer when full")
    ensure(int(reply.headers["Retry-After"]) >= 1, "Retry-After")
    kept += more
    for _ in range(3):
        reply = client.send("POST", "/api/feature-definitions",
                            {"feature_key": os.urandom(8).hex(), "name": "n",
                             "description": "d" * 4000})
        ensure(reply.status == 201 or (reply.status == 503 and
                                       int(reply.headers["Retry-After"]) >= 1),
               "control data on a full disk: %d" % reply.status)
    return refused


def full_disk(context, disk):
    ballast = os.path.join(disk, "ballast")
    fill_disk(ballast, 8 << 20)
    with context.server(dir=os.path.join(disk, "data"),
                        arguments=["--snapshot-events", "1000"]) as server:
        client = server.client()
        kept = []
        fill_again(client, kept)
        ensure(len(kept) >= 3, "the disk was full after %d batches" % len(kept))
        fill_disk(ballast + "2", 0)  # snapshots that failed have given their room back
        refused = fill_again(client, kept)
        check(client, kept)
        for hard in (True, False):
            server.restart(hard)
            client = server.client()
            check(client, kept)
            refused = fill_again(client, kept)
        server.verify()
        os.remove(ballast)
        os.remove(ballast + "2")
        equal(client.ingest(refused)["accepted"], BATCH, "there is room again")
        kept.append(refused)
        for hard in (True, False):
            server.restart(hard)
            client = server.client()
            check(client, kept)
            equal(client.ingest(kept[hard])["duplicates"], BATCH, "known")
        server.verify()
        server.stop()


def full_first_start(context, disk):
    """Wherever a first start runs out of room, it says so, and the next one goes on from there."""
    room = 0
    while True:
        ballast = os.path.join(disk, "ballast")
        server = context.server(dir=os.path.join(disk, "first"))
        fill_disk(ballast, room)
        try:
            server.start()
            break
        except Failure:
            ended = "".join(server.log)
            equal(server.process.poll(), 1, "exit code: " + ended)
            ensure("No space left" in ended or "no_space" in ended, ended)
        finally:
            server.kill()
            os.remove(ballast)
        room += 16 << 10
        ensure(room < DISK_BYTES, "it never started")
    ensure(room > 0, "it started on a full disk")
    server.start()
    equal(server.client().ingest(batch(0))["accepted"], BATCH, "accepted")
    server.verify()
    server.stop()


@once
def test_full_disk(context):
    with small_disk() as disk:
        if disk is None:
            print("     not permitted to mount a small disk: skipped")
            return
        full_disk(context, disk)


@once
def test_full_disk_at_first_start(context):
    with small_disk() as disk:
        if disk is None:
            print("     not permitted to mount a small disk: skipped")
            return
        full_first_start(context, disk)
