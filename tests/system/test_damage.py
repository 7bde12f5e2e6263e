"""A damaged block: the rest is served, and nobody is told that what is damaged was never there."""

import os
import subprocess

from harness import Failure, ensure, equal

GOOD = {"eventName": "chat", "customerReferenceId": "acme", "featureKey": "search"}
EVENTS = 200


def marked():
    """Events that can be found in the file: their properties do not compress."""
    mark = os.urandom(24).hex()
    return mark, [dict(GOOD, idempotencyKey="%s-%d" % (mark, i), properties={"mark": mark})
                  for i in range(EVENTS)]


def flip(path, mark):
    with open(path, "r+b") as file:
        data = file.read()
        at = data.find(mark.encode())
        ensure(at > 0, "the mark is not in the file")
        file.seek(at)
        file.write(bytes([data[at] ^ 1]))


def test_damaged_block(context):
    with context.server() as server:
        client = server.client()
        marks = []
        for _ in range(5):
            mark, events = marked()
            equal(client.ingest(events)["accepted"], EVENTS, "accepted")
            marks.append(mark)
        server.kill()
        flip(os.path.join(server.dir, "log", "data.mdb"), marks[2])
        server.start()
        client = server.client()
        equal(client.get("/api/events/%d" % (EVENTS + 1)).status, 200, "an event before")
        equal(client.get("/api/events/%d" % (3 * EVENTS + 1)).status, 200, "an event behind")
        inside = client.get("/api/events/%d" % (2 * EVENTS + 1))
        equal((inside.status, inside.json["code"]), (500, "internal"), "an event within")
        equal(client.get("/api/events/%d" % (5 * EVENTS + 1)).status, 404, "one that never was")
        command = [os.path.join(context.build, "marginctl"), "export", "--data-dir", server.dir,
                   "--server", "127.0.0.1:%d" % server.wire_port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        equal(len(done.stdout.splitlines()), 4 * EVENTS, "exported")
        equal(done.returncode, 1, "exit code of an export with holes")
        ensure("damaged" in done.stderr, done.stderr)
        try:
            server.verify()
            raise AssertionError("verify says nothing")
        except Failure as failure:
            ensure("events 401 to 600" in str(failure), str(failure))
        equal(client.ingest([GOOD])["accepted"], 1, "life goes on")
