"""Backups beside a server that takes events in, killed ones, and what is restored from them."""

import json
import os
import random
import shutil
import subprocess
import tempfile
import threading

import figures
import oracle
import scenario
from harness import Server, ensure, equal, once

WRITERS = 3
BATCH = 40


class Writer(threading.Thread):
    """Sends its events batch by batch until it is told to stop."""

    def __init__(self, server, seed):
        super().__init__(daemon=True)
        self.client = server.client()
        self.events = scenario.make(seed, 6000, prefix="writer%d" % seed)
        self.acknowledged = 0
        self.done = threading.Event()

    def run(self):
        while not self.done.is_set() and self.acknowledged < len(self.events):
            part = self.events[self.acknowledged:self.acknowledged + BATCH]
            equal(self.client.ingest(part)["accepted"], len(part), "accepted")
            self.acknowledged += len(part)

    def stop(self):
        self.done.set()
        self.join()


def backup(context, source, to):
    return context.tool("marginctl", "backup", to, "--data-dir", source)


def restore(context, source, to):
    return context.tool("marginctl", "restore", source, to)


def good(done):
    equal(done.returncode, 0, "exit code of %s (%s%s)" % (done.args[1], done.stdout, done.stderr))
    return done


def exported_keys(context, server):
    done = good(context.tool("marginctl", "export", "--data-dir", server.dir, "--server",
                             "127.0.0.1:%d" % server.wire_port))
    return {json.loads(line)["idempotencyKey"] for line in done.stdout.splitlines()}


def landed(writer, keys, least):
    """The events of a writer that a copy holds: a prefix, in whole batches."""
    mine = [event["idempotencyKey"] for event in writer.events]
    count = sum(key in keys for key in mine)
    equal([key in keys for key in mine], [True] * count + [False] * (len(mine) - count), "prefix")
    ensure(count % BATCH == 0, "half a batch")
    ensure(least <= count <= len(mine), "%d of %d acknowledged" % (count, least))
    return writer.events[:count]


def check_restored(context, dir, writers, least):
    with context.server(dir=dir) as server:
        keys = exported_keys(context, server)
        events = [landed(writer, keys, most) for writer, most in zip(writers, least)]
        book = oracle.Book()
        for part in events:
            for event in part:
                ensure(book.add(event) is not None, "the oracle's own")
        figures.compare_aggregates(server.client(), book)
        figures.compare_traces(server.client(), book)
        equal(len(keys), sum(len(part) for part in events), "keys")
        server.verify()
        for writer, part in zip(writers, events):
            again = server.client().ingest(writer.events[:200])
            equal(again["duplicates"], min(200, len(part)), "known keys")
        server.verify()
        return server.client().good("/api/sdk-keys")


@once
def test_while_events_come(context):
    root = tempfile.mkdtemp(prefix="margin-backup.")
    try:
        with context.server(arguments=["--front-threads", "2"]) as server:
            writers = [Writer(server, 100 + i) for i in range(WRITERS)]
            for writer in writers:
                writer.start()
            made = 0
            copies = []
            for number in range(3):
                to = os.path.join(root, "backup-%d" % number)
                good(context.tool("marginctl", "key", "create", "--name", "key-%d" % number,
                                  "--data-dir", server.dir))
                made += 1
                least = [writer.acknowledged for writer in writers]
                done = good(backup(context, server.dir, to))
                ensure("found whole" in done.stdout and "copying" in done.stderr, done.stderr)
                copies.append((to, least, made))
            for writer in writers:
                writer.stop()
            server.verify()
        for to, least, count in copies:
            dir = to + "-restored"
            good(restore(context, to, dir))
            keys = check_restored(context, dir, writers, least)
            equal(len(keys), count + 1, "API keys")
            equal(os.stat(os.path.join(dir, "api-key")).st_mode & 0o777, 0o600, "mode")
        refusals(context, copies[0][0], root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def refusals(context, copy, root):
    refused = backup(context, copy, root)
    equal(refused.returncode, 1, "a directory that is not empty")
    ensure("is not empty" in refused.stderr, refused.stderr)
    refused = restore(context, copy + "-restored", os.path.join(root, "x"))
    equal(refused.returncode, 1, "what is no backup")
    ensure("BACKUP" in refused.stderr, refused.stderr)
    for back in (backup, restore):
        refused = back(context, copy, os.path.join(copy, "inside"))
        equal(refused.returncode, 1, "a directory inside of what is copied")
        ensure("outside of it" in refused.stderr, refused.stderr)
    equal(sorted(os.listdir(copy)), ["BACKUP", "FORMAT", "api-key", "control", "log"], "files")
    refused = backup(context, os.path.join(root, "nowhere"), os.path.join(root, "x"))
    equal(refused.returncode, 1, "no data directory")
    equal(context.tool("marginctl", "restore", copy).returncode, 2, "usage")
    ensure(not os.path.exists(os.path.join(root, "x")), "something was left")


@once
def test_killed(context):
    """Whenever it is killed, a copy that has its name is whole, and the next one is made."""
    root = tempfile.mkdtemp(prefix="margin-backup.")
    chance = random.Random(7)
    try:
        server = Server(context.build, context.net)
        with server:
            events = scenario.make(5, 3000)
            for first in range(0, len(events), 500):
                server.client().ingest(events[first:first + 500])
            server.stop()
            finished = 0
            for number in range(12):
                to = os.path.join(root, "copy")
                command = [os.path.join(context.build, "marginctl"), "backup", to, "--data-dir",
                           server.dir]
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL)
                try:
                    process.wait(chance.random() * 0.006 * number)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                if os.path.exists(to):
                    finished += 1
                    good(restore(context, to, to + "-restored"))
                    shutil.rmtree(to + "-restored")
                    shutil.rmtree(to)
                else:
                    refused = restore(context, to + ".partial", to + "-restored")
                    ensure(refused.returncode == 1 or
                           os.path.exists(os.path.join(to + ".partial", "BACKUP")),
                           "half a copy looks whole")
                    shutil.rmtree(to + "-restored", ignore_errors=True)
            good(backup(context, server.dir, os.path.join(root, "copy")))
            equal(os.listdir(root), ["copy"], "what is left")
            server.start()
    finally:
        shutil.rmtree(root, ignore_errors=True)
