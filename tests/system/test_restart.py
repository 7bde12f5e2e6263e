"""An orderly end and a hard one keep every figure."""

import figures
import oracle
import scenario
from harness import equal


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


def test_snapshot_is_not_needed(context):
    """Figures come back the same from a snapshot and from the log alone."""
    import os
    import shutil
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


def test_many_commits_on_one_connection(context):
    with context.server() as server:
        client = server.client()
        book = oracle.Book()
        scenario.send(client, book, scenario.make(30, 400), batch=1)
        check(client, book)
        server.restart(hard=True)
        check(server.client(), book)
