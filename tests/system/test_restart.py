"""An orderly end and a hard one keep every figure."""

import os
import shutil
import time

import figures
import oracle
import scenario
from harness import ensure, equal


def check(client, book):
    figures.compare_aggregates(client, book)
    figures.compare_traces(client, book)
    equal(client.good("/api/events?limit=1")["total"], len(book.select()), "total")


def test_restarts(context):
    with context.server() as server:
        book = oracle.Book()
        for round_number, hard in enumerate((False, True, True, False, True)):
            client = server.client()
            events = scenario.make(10 + round_number, 300)
            scenario.send(client, book, events, batch=1 + 37 * round_number)
            check(client, book)
            server.restart(hard)
            client = server.client()
            check(client, book)
            got = client.ingest(events[:200])
            equal((got["accepted"], got["duplicates"], got["conflicts"]), (0, 200, 0), "resent")
            server.verify()


def test_snapshot_is_not_needed(context):
    """Figures come back the same from a snapshot and from the log alone."""
    with context.server() as server:
        book = oracle.Book()
        scenario.send(server.client(), book, scenario.make(20, 800))
        server.restart()
        check(server.client(), book)
        server.stop()
        for name in os.listdir(server.dir):
            if "snap" in name:
                path = os.path.join(server.dir, name)
                shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
        server.start()
        check(server.client(), book)


def test_snapshots_under_way(context):
    """Snapshots while events keep coming, a start from the newest, and from one that is damaged."""
    with context.server(arguments=["--snapshot-events", "1000"]) as server:
        book = oracle.Book()
        for round_number in range(4):
            # A snapshot is due after half as many events as the one before has: rounds grow.
            events = scenario.make(40 + round_number, 1500 * (round_number + 1))
            scenario.send(server.client(), book, events, batch=150)
            wait_for_snapshot(server.client())
            server.restart(hard=True)
            check(server.client(), book)
        server.stop()
        ensure(damage_newest(server.dir), "no snapshot to damage")
        server.start()
        check(server.client(), book)


def wait_for_snapshot(client):
    """Its background thread writes one when enough events have come."""
    deadline = time.monotonic() + 10
    while b"\nmargind_snapshots_total 0\n" in client.get("/metrics").body:
        ensure(time.monotonic() < deadline, "no snapshot was written")
        time.sleep(0.05)


def damage_newest(place):
    """Turns one byte in the middle of the newest snapshot file; false if there is none."""
    files = [os.path.join(folder, name) for folder, _, names in os.walk(place) for name in names
             if "snap" in os.path.join(folder, name)[len(place):]]
    if files:
        newest = max(files, key=os.path.getmtime)
        with open(newest, "r+b") as file:
            middle = os.path.getsize(newest) // 2
            file.seek(middle)
            byte = file.read(1)
            file.seek(middle)
            file.write(bytes([byte[0] ^ 0x40]))
    return bool(files)


def test_many_commits_on_one_connection(context):
    with context.server() as server:
        client = server.client()
        book = oracle.Book()
        scenario.send(client, book, scenario.make(30, 400), batch=1)
        check(client, book)
        server.restart(hard=True)
        check(server.client(), book)


def metric(client, name):
    lines = client.get("/metrics").body.decode().splitlines()
    return int([line for line in lines if line.startswith("margind_%s " % name)][0].split()[1])


def resend(client, events):
    for at in range(0, len(events), 500):
        got = client.ingest(events[at:at + 500])
        equal((got["accepted"], got["duplicates"]), (0, len(events[at:at + 500])), "sent again")


def test_keys_past_memory(context):
    """Keys that left memory are known, also after any end, and when their files are gone."""
    with context.server(arguments=["--dedup-memory", "64K"]) as server:  # 1024 keys
        book = oracle.Book()
        client = server.client()
        events = scenario.make(50, 5000)
        scenario.send(client, book, events, batch=250)
        keyed = [event for event in events if event.get("idempotencyKey")]
        deadline = time.monotonic() + 20
        while metric(client, "keys_on_disk") < len(keyed) // 2:
            ensure(time.monotonic() < deadline, "no keys leave memory")
            time.sleep(0.05)
        for end in ("none", "kill", "stop", "lost"):
            if end == "lost":
                server.stop()
                shutil.rmtree(os.path.join(server.dir, "keys"))
                server.start()
            elif end != "none":
                server.restart(hard=end == "kill")
            client = server.client()
            resend(client, keyed)
            check(client, book)
            ensure(metric(client, "key_reads_total") > 0, "%s: all keys are in memory" % end)
        server.verify()
        server.stop()
        equal(context.tool("inspect", server.dir, "keys").returncode, 0, "files of keys")
        place = os.path.join(server.dir, "keys")
        for name in os.listdir(place):
            with open(os.path.join(place, name), "r+b") as file:
                file.seek(4096 + 77)
                file.write(b"damage")
        for tool in (("inspect", server.dir, "keys"), ("inspect", server.dir, "verify"),
                     ("marginctl", "verify", "--data-dir", server.dir)):
            found = context.tool(*tool)
            equal(found.returncode, 1, "damaged files of keys")
            ensure("keys " in found.stdout and "corrupt" in found.stdout, found.stdout)
        server.start()
