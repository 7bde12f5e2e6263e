"""`make run`: an empty directory gets sample events, shows margins; a second start keeps them."""

import os
import signal
import socket
import subprocess
import tempfile

from harness import alone, ensure, equal, nets

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LAST_LINE = "Log lines follow."


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % probe.getsockname()[1]


def environment(directory):
    return dict(os.environ, MARGIND_DATA_DIR=directory, MARGIND_HTTP_LISTEN=free_address(),
                MARGIND_WIRE_LISTEN=free_address())


def start(context, variables):
    return subprocess.Popen([os.path.join(ROOT, "tools/run.sh"), os.path.abspath(context.build)],
                            env=variables, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, start_new_session=True)


def tour(process):
    """What it prints until it only serves."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(LAST_LINE):
            return "".join(lines)
    raise AssertionError("it ended early:\n" + "".join(lines))


def interrupt(process):
    """Ctrl-C reaches the whole group, as on a terminal."""
    os.killpg(process.pid, signal.SIGINT)
    process.stdout.read()
    equal(process.wait(30), 0, "exit code after Ctrl-C")


@alone
@nets("epoll")
def test_sample(context):
    with tempfile.TemporaryDirectory() as work:
        directory = os.path.join(work, "data")
        first = start(context, environment(directory))
        shown = tour(first)
        with open(os.path.join(directory, "api-key"), encoding="ascii") as file:
            key = file.read().strip()
        for text in ("loading sample events", "tidal-bank", "support-chat", "claude-sonnet-4-5",
                     "UNPRICED", key, "curl -s"):
            ensure(text in shown, "%r is missing in\n%s" % (text, shown))
        interrupt(first)
        second = start(context, environment(directory))
        again = tour(second)
        ensure("loading" not in again, "the data was not kept:\n" + again)
        ensure("tidal-bank" in again, "the figures are gone:\n" + again)
        interrupt(second)


@nets("epoll")
def test_port_taken(context):
    with tempfile.TemporaryDirectory() as work, socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        variables = environment(os.path.join(work, "data"))
        variables["MARGIND_HTTP_LISTEN"] = "127.0.0.1:%d" % other.getsockname()[1]
        process = start(context, variables)
        said = process.communicate(timeout=30)[0]
        equal(process.returncode, 1, "exit code")
        ensure("listens on " + variables["MARGIND_HTTP_LISTEN"] in said, said)
