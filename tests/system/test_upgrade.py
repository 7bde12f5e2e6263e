"""Data directories that older builds have written (tests/data), and such that no build reads."""

import json
import os
import shutil
import sys
import tarfile
import tempfile
from decimal import Decimal

import oracle
import scenario
from harness import Failure, ensure, equal, once

DATA = os.path.join(oracle.ROOT, "tests", "data")
sys.path.insert(0, DATA)

import make  # noqa: E402

NOW = 3  # the format that this build writes


def differs(old, new, path):
    """What an old build said must still be so; a newer one may say more."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name, value in old.items():
            if name not in new:
                return "%s.%s is gone" % (path, name)
            found = differs(value, new[name], "%s.%s" % (path, name))
            if found and name != "last_used_at":
                return found
        return None
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        found = [differs(a, b, "%s[%d]" % (path, i)) for i, (a, b) in enumerate(zip(old, new))]
        return next((text for text in found if text), None)
    return None if old == new else "%s: %r was %r" % (path, new, old)


def unpack(name, dir):
    with tarfile.open(os.path.join(DATA, name)) as archive:
        archive.extractall(dir)
    with open(os.path.join(dir, "answers.json"), encoding="utf-8") as file:
        return json.load(file, parse_float=Decimal)


def read_format(dir):
    with open(os.path.join(dir, "FORMAT"), encoding="ascii") as file:
        return file.read()


def check(context, dir, answers, first):
    with context.server(dir=dir) as server:
        client = server.client()
        for path, old in answers.items():
            found = differs(old, client.good(path), path)
            ensure(found is None, found)
        equal(read_format(dir), "margind data %d\n" % NOW, "the format afterwards")
        server.verify()
        events = scenario.make(2026, make.EVENTS, prefix="old", now_ms=make.NOW_MS)
        equal(client.ingest(events)["duplicates"], len(events), "known keys")
        added = client.ingest(scenario.make(3 + first, 100, prefix="new"))
        equal(added["accepted"], 100, "new events")
        server.verify()
        server.restart(hard=True)
        equal(server.client().good("/api/events/1"), client_answer(answers), "event 1")
        server.verify()


def client_answer(answers):
    return answers["/api/events/1"]


@once
def test_older_directories(context):
    """Every archive there is: with its snapshot, and from its log alone."""
    for name in sorted(os.listdir(DATA)):
        if not name.endswith(".tar.xz"):
            continue
        for alone in (False, True):
            root = tempfile.mkdtemp(prefix="margin-upgrade.")
            try:
                answers = unpack(name, root)
                if alone:
                    shutil.rmtree(os.path.join(root, "snapshots"))
                elif not read_format(root).startswith("margind data %d" % NOW):
                    backup = context.tool("marginctl", "backup", root + ".b", "--data-dir", root)
                    equal(backup.returncode, 0, backup.stderr)
                    check(context, root + ".b", answers, 2)
                check(context, root, answers, alone)
            finally:
                shutil.rmtree(root, ignore_errors=True)
                shutil.rmtree(root + ".b", ignore_errors=True)


@once
def test_other_formats(context):
    """A directory of another format is refused with what to do, and left as it is."""
    for text, hint in (("margind data %d\n" % (NOW + 1), "newer than this program's"),
                       ("margind data 1\n", "export the events with the version that wrote them"),
                       ("mysql\n", "not a format file")):
        root = tempfile.mkdtemp(prefix="margin-upgrade.")
        try:
            with open(os.path.join(root, "FORMAT"), "w", encoding="ascii") as file:
                file.write(text)
            try:
                with context.server(dir=root):
                    raise AssertionError("it starts")
            except Failure as failure:
                ensure(hint in str(failure), str(failure))
            equal(read_format(root), text, "the format")
            ensure(not os.path.exists(os.path.join(root, "log")), "something was made")
        finally:
            shutil.rmtree(root, ignore_errors=True)
