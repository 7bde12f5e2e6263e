"""Starts the real server on a directory of its own and talks to it as a client would."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from decimal import Decimal

import schema

START_SECONDS = 60
STOP_SECONDS = 60
READY = re.compile(r"event=ready http=\S*?:(\d+) wire=\S*?:(\d+)")


class Failure(Exception):
    """A test found something else than it must be."""


def ensure(condition, text):
    if not condition:
        raise Failure(text)


def equal(actual, expected, what):
    if actual != expected:
        raise Failure("%s: %r expected, %r found" % (what, expected, actual))


def nets(*kinds):
    """Marks a test that runs on these network edges only."""

    def mark(function):
        function.nets = kinds
        return function

    return mark


def once(function):
    """Marks a long test that runs on one network edge only: the first that the machine has."""
    function.once = True
    return function


def alone(function):
    """Marks a test that measures, or looks for a free port: nothing else runs beside it."""
    function.alone = True
    return function


class Reply:
    def __init__(self, status, headers, body, value=None):
        self.status = status
        self.headers = headers
        self.body = body
        self.value = value

    @property
    def json(self):
        if self.value is None:
            try:
                self.value = json.loads(self.body, parse_float=Decimal)
            except ValueError as error:
                raise Failure("not JSON: %r" % self.body[:200]) from error
        return self.value


class Client:
    """One keep-alive connection. Every answer is checked against the server's own description."""

    description = None  # of the build under test, read from the first server that starts

    def __init__(self, port, key=None, trust=None):
        self.connection = self.connect(port, trust)
        self.key = key

    @staticmethod
    def connect(port, trust):
        """`trust` is an ssl.SSLContext, or None for a server without TLS."""
        if trust is None:
            return http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        return http.client.HTTPSConnection("127.0.0.1", port, timeout=120, context=trust)

    @classmethod
    def learn(cls, port, trust):
        if cls.description is None:
            connection = cls.connect(port, trust)
            connection.request("GET", "/openapi.json")
            cls.description = schema.Description(json.loads(connection.getresponse().read()))
            connection.close()

    def check(self, method, path, answer, body, odd):
        """What the body says if it is JSON; None if this client has nothing to check against."""
        if self.description is None:
            return None
        try:
            return self.description.check(method, path, answer.status,
                                          answer.headers.get("Content-Type", ""), body, odd)
        except (schema.Mismatch, ValueError) as why:
            raise Failure("%s %s answers %d not as described: %s (%r)"
                          % (method, path, answer.status, why, body[:200])) from why

    def send(self, method, path, body=None, headers=None, key=True, checked=True,
             odd=False):
        """`checked=False` is for requests that are malformed on purpose, `odd` for parameters."""
        fields = dict(headers or {})
        if key and self.key:
            fields.setdefault("Observe-Key", self.key)
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        self.connection.request(method, path, body=body, headers=fields)
        answer = self.connection.getresponse()
        data = answer.read()
        value = self.check(method, path, answer, data, odd) if checked else None
        return Reply(answer.status, answer.headers, data, value)

    def get(self, path, **options):
        return self.send("GET", path, **options)

    def good(self, path):
        reply = self.get(path)
        equal(reply.status, 200, "GET %s (%r)" % (path, reply.body[:200]))
        return reply.json

    def ingest(self, events):
        reply = self.send("POST", "/api/events/ingest", {"events": events})
        equal(reply.status, 200, "ingest (%r)" % reply.body[:200])
        return reply.json

    def close(self):
        self.connection.close()


class Certificate:
    """A key and a certificate for 127.0.0.1 signed by itself, made by the openssl tool."""

    def __init__(self, dir, name="server", names="DNS:localhost,IP:127.0.0.1", days=30,
                 kind=("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
        self.file = os.path.join(dir, name + ".pem")
        self.key = os.path.join(dir, name + ".key")
        self.make(name, names, days, kind)

    def make(self, name, names="DNS:localhost,IP:127.0.0.1", days=30,
             kind=("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
        """Again: another one in the same files."""
        done = subprocess.run(["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-days",
                               str(days), "-keyout", self.key, "-out", self.file, "-subj",
                               "/CN=" + os.path.basename(name), "-addext",
                               "subjectAltName=" + names],
                              capture_output=True, text=True, timeout=60)
        equal(done.returncode, 0, "openssl req (%s)" % done.stderr)
        os.chmod(self.key, 0o600)

    def trust(self):
        return ssl.create_default_context(cafile=self.file)


class Server:
    """A margind process. `dir` may be an existing data directory, `tls` is a Certificate."""

    def __init__(self, build, net, dir=None, arguments=(), http="127.0.0.1:0", tls=None):
        self.binary = os.path.join(build, "margind")
        self.net = net
        self.own_dir = dir is None
        self.dir = dir or tempfile.mkdtemp(prefix="margin-system.")
        self.arguments = list(arguments)
        self.tls = tls
        if tls is not None:
            self.arguments += ["--tls-cert", tls.file, "--tls-key", tls.key]
        self.listen = http
        self.process = None
        self.log = []
        self.hostile = False  # a test that makes the server ask for what it may not
        self.port = self.wire_port = None
        self.ready = threading.Event()

    def command(self):
        return [self.binary, "--data-dir", self.dir, "--http-listen", self.listen,
                "--wire-listen", "127.0.0.1:0"] + self.arguments

    def start(self):
        environment = dict(os.environ, MARGIND_NET=self.net)
        self.ready.clear()
        self.process = subprocess.Popen(self.command(), stderr=subprocess.PIPE,
                                        stdout=subprocess.DEVNULL, env=environment, text=True)
        self.reader = threading.Thread(target=self.read_log, args=(self.process,), daemon=True)
        self.reader.start()
        deadline = time.monotonic() + START_SECONDS
        while not self.ready.wait(0.02):
            if self.process.poll() is not None:
                self.reader.join(5)
                raise Failure("the server ended with %d: %s"
                              % (self.process.returncode, "".join(self.log[-5:])))
            if time.monotonic() > deadline:
                self.kill()
                raise Failure("the server was not ready in time: " + "".join(self.log[-5:]))
        Client.learn(self.port, self.trust())
        return self

    def trust(self):
        """What a client of the HTTP port needs to believe: an ssl.SSLContext, or None."""
        return None if self.tls is None or "wire" in self.arguments else self.tls.trust()

    def read_log(self, process):
        for line in process.stderr:
            self.log.append(line)
            found = READY.search(line)
            if found:
                self.port, self.wire_port = int(found[1]), int(found[2])
                self.ready.set()

    @property
    def key(self):
        with open(os.path.join(self.dir, "api-key"), encoding="ascii") as file:
            return file.read().strip()

    def client(self, key=None):
        return Client(self.port, key or self.key, self.trust())

    def stop(self):
        """SIGTERM; the exit code must be 0."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_SECONDS)
        self.reader.join(5)
        equal(code, 0, "exit code after SIGTERM (log: %s)" % "".join(self.log[-5:]))

    def kill(self):
        self.process.kill()
        self.process.wait(STOP_SECONDS)
        self.reader.join(5)

    def verify(self):
        """marginctl rebuilds every figure from the log and compares it with the live one."""
        command = [os.path.join(os.path.dirname(self.binary), "marginctl"), "verify", self.dir,
                   "--data-dir", self.dir, "--server", "127.0.0.1:%d" % self.wire_port]
        if self.tls is not None:
            command += ["--tls-ca", self.tls.file]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        equal(done.returncode, 0, "marginctl verify (%s%s)" % (done.stdout, done.stderr))

    def restart(self, hard=False):
        if hard:
            self.kill()
        else:
            self.stop()
        return self.start()

    def cleanup(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()
        if self.own_dir:
            shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if kind is not None:
            tail = [line for line in self.log if "level=info" not in line][-10:]
            print("".join("    server: " + line for line in tail), end="")
        self.cleanup()
        if kind is None and not self.hostile:
            lines = [line for line in self.log if "event=sandbox_refused" in line]
            equal(lines, [], "system calls that the sandbox refused")


class Context:
    """What a test gets."""

    def __init__(self, build, net):
        self.build = build
        self.net = net

    def server(self, **options):
        return Server(self.build, self.net, **options)

    def tool(self, name, *arguments, **options):
        """Runs a command line tool to its end."""
        command = [os.path.join(self.build, name)] + [str(a) for a in arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def raw(port, data, shut=False, seconds=10):
    """Bytes in, everything that comes back until the server closes or is silent."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(data)
        if shut:
            connection.shutdown(socket.SHUT_WR)
        parts = []
        try:
            while True:
                part = connection.recv(65536)
                if not part:
                    break
                parts.append(part)
        except socket.timeout:
            pass
        except ConnectionResetError:
            pass
        return b"".join(parts)
