"""The process: flags, exit codes, one server a directory, files it leaves."""

import os
import signal
import socket
import stat
import subprocess
import tempfile
import time

from harness import Failure, ensure, equal


def run(context, *arguments, **environment):
    command = [os.path.join(context.build, "margind")] + list(arguments)
    fields = dict(os.environ, MARGIND_NET=context.net, **environment)
    return subprocess.run(command, capture_output=True, text=True, timeout=30, env=fields)


def one_line(result, code, *words):
    equal(result.returncode, code, "exit code (%s)" % result.stderr)
    lines = [l for l in result.stderr.splitlines() if "level=info" not in l]
    equal(len(lines), 1, "lines on stderr: %r" % lines)
    for word in words:
        ensure(word in lines[0], "%r does not name %s" % (lines[0], word))


def test_bad_usage(context):
    with tempfile.TemporaryDirectory(prefix="margin-system.") as place:
        for arguments in (["--no-such-flag"], ["--http-listen", "nonsense"],
                          ["--http-listen", "127.0.0.1:99999"], ["--data-dir"], ["stray"],
                          ["--config", place + "/missing.ini"], ["--config", place],
                          ["--front-threads", "none"]):
            one_line(run(context, *arguments), 2)
        one_line(run(context, "--data-dir", place, MARGIND_HTTP_LISTEN="x"), 2)


def test_help_and_version(context):
    result = run(context, "--help")
    equal(result.returncode, 0, "exit code")
    for word in ("--data-dir", "--http-listen", "--wire-listen", "MARGIND_DATA_DIR", "8080"):
        ensure(word in result.stdout, "--help does not name " + word)
    equal(run(context, "--version").returncode, 0, "--version")
    version = run(context, "--version").stdout.split()[1]
    for tool in ("marginctl", "margin-load"):
        equal(context.tool(tool, "--version").stdout, "%s %s\n" % (tool, version), "--version")


def test_second_server_on_a_directory(context):
    with context.server() as server:
        other = context.server(dir=server.dir)
        try:
            other.start()
            other.kill()
            raise Failure("a second server started on the same directory")
        except Failure as failure:
            ensure("ended with 1" in str(failure), str(failure))
        equal(server.client().get("/healthz").status, 200, "the first one still answers")


def test_port_in_use(context):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        with tempfile.TemporaryDirectory(prefix="margin-system.") as place:
            result = run(context, "--data-dir", place, "--http-listen", address, "--wire-listen",
                         "127.0.0.1:0")
            one_line(result, 1, str(taken.getsockname()[1]))
    with context.server() as server:
        other = context.server(http="127.0.0.1:%d" % server.port)
        try:
            other.start()
            raise Failure("two servers share a port")
        except Failure as failure:
            ensure("ended with 1" in str(failure), str(failure))
        finally:
            other.cleanup()


def test_files(context):
    with context.server() as server:
        equal(stat.S_IMODE(os.stat(server.dir + "/api-key").st_mode), 0o600, "mode of api-key")
        with open(server.dir + "/api-key", encoding="ascii") as file:
            text = file.read()
        equal((len(text), text[-1]), (53, "\n"), "api-key")
        server.restart()
        equal(server.key, text.strip(), "the key stays")
        ensure(not any(text.strip() in line for line in server.log), "the key is in the log")


def test_unwritable_directory(context):
    with tempfile.NamedTemporaryFile(prefix="margin-system.") as file:
        result = run(context, "--data-dir", file.name + "/data", "--http-listen", "127.0.0.1:0",
                     "--wire-listen", "127.0.0.1:0")
        one_line(result, 1)


def test_hangup(context):
    """A closed terminal stops the server in order, unless nohup(1) said otherwise."""
    with context.server() as server:
        server.process.send_signal(signal.SIGHUP)
        equal(server.process.wait(30), 0, "exit code after SIGHUP")
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            server.start()
        finally:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
        server.process.send_signal(signal.SIGHUP)
        equal(server.client().get("/healthz").status, 200, "the one with nohup answers")
        server.stop()


def test_log_that_is_cut(context):
    """A log that is appended to a file may be cut while the server runs (copytruncate)."""
    server = context.server()
    path = os.path.join(server.dir, "log.txt")
    command = server.command()
    environment = dict(os.environ, MARGIND_NET=context.net)
    with open(path, "ab") as log:
        process = subprocess.Popen(command, stderr=log, stdout=subprocess.DEVNULL, env=environment)
    try:
        deadline = time.monotonic() + 60
        while b"event=ready" not in open(path, "rb").read():
            ensure(time.monotonic() < deadline and process.poll() is None, "not ready")
            time.sleep(0.02)
        os.truncate(path, 0)
        process.send_signal(signal.SIGTERM)
        equal(process.wait(60), 0, "exit code")
        with open(path, "rb") as log:
            lines = log.read().splitlines()
        ensure(len(lines) >= 2 and lines[0].startswith(b"time=") and
               b"event=stopped" in lines[-1], "the log goes on at its beginning: %r" % lines[:2])
        ensure(all(line.startswith(b"time=") for line in lines), "whole lines")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        server.cleanup()
