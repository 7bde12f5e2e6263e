"""A damaged block: the rest is served, and nobody is told that what is damaged was never there."""

import os
import shutil
import subprocess

from harness import Failure, ensure, equal

GOOD = {"eventName": "chat", "customerReferenceId": "acme", "featureKey": "search"}
EVENTS = 200
PAGE = 4096


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


def root_of(data):
    """Where the page that all tables hang on begins in LMDB's file."""
    newest_head = max((0, PAGE), key=lambda at: data[at + 144:at + 152][::-1])
    return int.from_bytes(data[newest_head + 128:newest_head + 136], "little") * PAGE


def flip_at(path, where):
    """Turns a bit where `where` says it is."""
    with open(path, "r+b") as file:
        data = bytearray(file.read())
        data[where(data)] ^= 4
        file.seek(0)
        file.write(data)


def newest(folder):
    return os.path.join(folder, sorted(name for name in os.listdir(folder) if ".snap" in name)[-1])


DAMAGES = [
    # what, the file, the byte, whether a server refuses it, and what it is called
    ("a value among the control tables", "control/data.mdb", lambda data: data.rfind(b"seed") + 8,
     True, "control tables"),
    ("the kind of a page", "log/data.mdb", lambda data: root_of(data) + 10, True, "data.mdb"),
    ("where a page's nodes begin", "control/data.mdb", lambda data: root_of(data) + 14, True,
     "data.mdb"),
    ("which head is newer", "log/data.mdb", lambda data: 16 + 128, True, "transactions"),
    ("a snapshot", "snapshots", lambda data: len(data) // 2, False, ".snap"),
]


def test_named_damage(context):
    """Whatever has changed, a start that cannot go on says what it is, and both tools find it."""
    with context.server(arguments=["--snapshot-events", "1000"]) as server:
        server.client().ingest([dict(GOOD, idempotencyKey="k%d" % i) for i in range(EVENTS)])
        server.stop()
        sound = server.dir + ".sound"
        shutil.copytree(server.dir, sound)
        try:
            for what, path, where, refused, name in DAMAGES:
                shutil.rmtree(server.dir)
                shutil.copytree(sound, server.dir)
                path = os.path.join(server.dir, path)
                flip_at(newest(path) if os.path.isdir(path) else path, where)
                for tool in (("marginctl", "verify", server.dir, "--data-dir", server.dir),
                             ("inspect", server.dir, "verify")):
                    found = context.tool(*tool)
                    equal(found.returncode, 1, "%s: exit code of %s (%s%s)"
                          % (what, tool[0], found.stdout, found.stderr))
                    ensure(name in found.stdout + found.stderr, "%s: %s says %s%s"
                           % (what, tool[0], found.stdout, found.stderr))
                server.log.clear()
                try:
                    server.start()
                    ensure(not refused, "%s: it started" % what)
                    equal(server.client().good("/api/events?limit=1")["total"], EVENTS, what)
                    server.stop()
                except Failure as failure:
                    ensure(refused, "%s: %s" % (what, failure))
                    equal(server.process.poll(), 1, "%s: exit code" % what)
                    ensure(name in "".join(server.log) and "restore a backup" in str(server.log),
                           "%s: %s" % (what, "".join(server.log)))
            shutil.rmtree(server.dir)
            shutil.copytree(sound, server.dir)
        finally:
            shutil.rmtree(sound)
