"""TLS on both listeners: who gets in, that figures are the same, and that bad clients hurt nobody.

Certificates are made when a test runs, by the openssl tool.
"""

import http.client
import json
import os
import random
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
from decimal import Decimal

from harness import Certificate, Client, Failure, alone, ensure, equal, nets, once, raw
from test_hostile import more_files, private


class Place:
    """A directory for certificates."""

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="margin-tls.")
        return self

    def __exit__(self, kind, value, trace):
        shutil.rmtree(self.dir, ignore_errors=True)

    def certificate(self, name="server", **options):
        return Certificate(self.dir, name, **options)


def shake(port, trust, name="127.0.0.1", seconds=10):
    """A socket on which TLS is established."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=seconds)
    try:
        return trust.wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise


def refused(port, trust, name="127.0.0.1"):
    """Why the handshake fails."""
    try:
        shake(port, trust, name).close()
    except ssl.SSLError as error:
        return str(error)
    except ConnectionError as error:
        return str(error)
    raise Failure("a handshake succeeded that must not")


def serial(port, certificate):
    """Which certificate the server shows; it must be this one."""
    with shake(port, certificate.trust()) as connection:
        return connection.getpeercert()["serialNumber"]


def ctl(context, server, *arguments, code=0, **options):
    done = context.tool("marginctl", *arguments, "--data-dir", server.dir, **options)
    equal(done.returncode, code, "marginctl %s (%s%s)" % (arguments, done.stdout, done.stderr))
    return done


def metric(server, name):
    for line in server.client().get("/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return int(line.split(" ")[1])
    raise Failure("no metric " + name)


def await_line(server, word, count=1, seconds=20):
    deadline = time.monotonic() + seconds
    while sum(word in line for line in list(server.log)) < count:
        ensure(time.monotonic() < deadline, "no %d. line with %s" % (count, word))
        time.sleep(0.02)


def reload(server, word):
    before = sum(word in line for line in list(server.log))
    server.process.send_signal(signal.SIGHUP)
    await_line(server, word, before + 1)


def test_versions_and_suites(context):
    with Place() as place:
        certificate = place.certificate()
        with context.server(tls=certificate) as server:
            for port in (server.port, server.wire_port):
                for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
                    trust = certificate.trust()
                    trust.set_ciphers("ALL:@SECLEVEL=0")
                    trust.minimum_version = trust.maximum_version = version
                    why = refused(port, trust).lower()
                    ensure("version" in why or "protocol" in why, why)
                for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
                                      (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
                    trust = certificate.trust()
                    trust.minimum_version = trust.maximum_version = version
                    with shake(port, trust) as connection:
                        equal(connection.version(), name, "version")
                        equal(connection.compression(), None, "compression")
                        ensure("GCM" in connection.cipher()[0], connection.cipher())
                with shake(port, certificate.trust()) as connection:
                    equal(connection.version(), "TLSv1.3", "what both like best")
                for suites in ("AES128-SHA", "ECDHE-ECDSA-AES128-SHA256", "AES256-GCM-SHA384"):
                    trust = certificate.trust()
                    trust.maximum_version = ssl.TLSVersion.TLSv1_2
                    trust.set_ciphers(suites)
                    ensure("handshake failure" in refused(port, trust).lower().replace("_", " "),
                           suites)
            for port, ours in ((server.port, "http/1.1"), (server.wire_port, "margin/1")):
                trust = certificate.trust()
                trust.set_alpn_protocols(["h2", ours])
                with shake(port, trust) as connection:
                    equal(connection.selected_alpn_protocol(), ours, "protocol")
                trust.set_alpn_protocols(["h2", "spdy/1"])
                ensure("application protocol" in refused(port, trust).lower().replace("_", " "),
                       "a client that wants another protocol")


def test_same_figures(context):
    """Events over https and over the binary socket, small and large, are counted once and
    exactly; long answers are whole; the log agrees, also after kill -9."""
    with Place() as place:
        certificate = place.certificate()
        with context.server(tls=certificate, arguments=["--front-threads", "2"]) as server:
            client = server.client()
            costs = {}
            for round in range(3):
                events = []
                for n in range(1000):
                    customer = "customer-%d" % (n % 7)
                    cost = Decimal(n * 1000003 + round) / 10**12
                    events.append({"eventName": "chat", "customerReferenceId": customer,
                                   "featureKey": "f", "costAmount": float(cost),
                                   "idempotencyKey": "%d-%d" % (round, n),
                                   "properties": {"filling": "x" * (n % 3000)}})
                    costs[customer] = costs.get(customer, 0) + cost
                answer = client.ingest(events)
                equal(answer["accepted"], 1000, "accepted")
                equal(client.ingest(events)["duplicates"], 1000, "sent again")
            rows = {r["customer_id"]: r for r in client.good("/api/events/by-customer")}
            for customer, cost in costs.items():
                equal(Decimal(rows[customer]["total_cost"]), cost.normalize(), customer)
            report = context.tool("margin-load", "--json", "--mode", "wire", "--tls-ca",
                                  certificate.file, "--events", "100000", "--batch", "4096",
                                  "--data-dir", server.dir, "--server",
                                  "127.0.0.1:%d" % server.wire_port, "--duplicates", "10")
            equal(report.returncode, 0, "margin-load " + report.stderr)
            loaded = json.loads(report.stdout)["accepted"]
            for mode in ("http", "single"):
                report = context.tool("margin-load", "--json", "--mode", mode, "--tls", "--tls-ca",
                                      certificate.file, "--events", "3000", "--data-dir",
                                      server.dir, "--http", "127.0.0.1:%d" % server.port)
                equal(report.returncode, 0, "margin-load " + report.stderr)
                loaded += json.loads(report.stdout)["accepted"]
            exported = ctl(context, server, "export", "--tls-ca", certificate.file, "--server",
                           "127.0.0.1:%d" % server.wire_port)
            equal(len(exported.stdout.splitlines()), 3000 + loaded, "exported events")
            server.verify()
            server.restart(hard=True)
            rows = server.client().good("/api/events/by-customer?days=all")
            equal(sum(r["event_count"] for r in rows), 3000 + loaded, "events")
            server.verify()


def test_settings(context):
    with Place() as place:
        certificate, other = place.certificate(), place.certificate("other")
        locked = os.path.join(place.dir, "locked.key")
        done = subprocess.run(["openssl", "pkey", "-in", certificate.key, "-aes128", "-passout",
                               "pass:secret", "-out", locked], capture_output=True)
        equal(done.returncode, 0, "openssl pkey")
        dir = os.path.join(place.dir, "data")
        for cert, key, word in ((certificate.file, None, "tls-key"),
                                (None, certificate.key, "tls-cert"),
                                (certificate.file, other.key, "another certificate"),
                                (certificate.file, locked, "passphrase"),
                                (certificate.file, certificate.file, "there is none in it"),
                                (certificate.key, certificate.key, "there is none in it"),
                                (place.dir + "/absent", certificate.key, "No such file"),
                                (certificate.file, place.dir, "is no file")):
            arguments = ["--data-dir", dir]
            arguments += ["--tls-cert", cert] if cert else []
            arguments += ["--tls-key", key] if key else []
            done = context.tool("margind", *arguments, stdin=subprocess.DEVNULL)
            equal(done.returncode, 2, "exit code (%s)" % done.stderr)
            ensure(word in done.stderr, "%s in %s" % (word, done.stderr))
            ensure(not os.path.exists(dir), "nothing was made")
        os.chmod(certificate.key, 0o644)
        for listen, secure, plain in (("http", "port", "wire_port"),
                                      ("wire", "wire_port", "port")):
            with context.server(tls=certificate, arguments=["--tls-listen", listen]) as server:
                shake(getattr(server, secure), certificate.trust()).close()
                refused(getattr(server, plain), certificate.trust())
                ensure(any("tls_key_is_open" in line for line in server.log), "warning of the key")
                if listen == "http":
                    ctl(context, server, "stats", "--server", "127.0.0.1:%d" % server.wire_port)
                else:
                    equal(server.client().get("/healthz").status, 200, "plain HTTP")


def expired(place, name):
    """What nobody should be shown any more."""
    key, request = os.path.join(place.dir, name + ".key"), os.path.join(place.dir, name + ".csr")
    with open(os.path.join(place.dir, "ca.cnf"), "w", encoding="ascii") as file:
        file.write("[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index\nrand_serial=yes\n"
                   "new_certs_dir=%s\ndefault_md=sha256\npolicy=p\nx509_extensions=e\n"
                   "[p]\ncommonName=supplied\n[e]\nsubjectAltName=IP:127.0.0.1\n"
                   % (place.dir, place.dir))
    open(os.path.join(place.dir, "index"), "w", encoding="ascii").close()
    made = place.certificate(name)
    for command in (["req", "-new", "-key", key, "-subj", "/CN=old", "-out", request],
                    ["ca", "-batch", "-selfsign", "-notext", "-config", place.dir + "/ca.cnf",
                     "-in", request, "-keyfile", key, "-startdate", "20200101000000Z",
                     "-enddate", "20200102000000Z", "-out", made.file]):
        done = subprocess.run(["openssl", *command], capture_output=True, text=True)
        equal(done.returncode, 0, "openssl " + done.stderr)
    return made


def test_reload(context):
    """SIGHUP: new connections get the new certificate, old ones go on; a bad one changes
    nothing."""
    with Place() as place:
        certificate = place.certificate()
        with context.server(tls=certificate) as server:
            old = server.client()
            old_trust = certificate.trust()
            first = serial(server.port, certificate)
            equal(old.get("/healthz").status, 200, "before")
            certificate.make("server")
            equal(refused(server.port, certificate.trust()) != "", True, "not yet in force")
            reload(server, "certificate_reloaded")
            second = serial(server.port, certificate)
            ensure(second != first, "another certificate")
            equal(serial(server.wire_port, certificate), second, "of the binary socket")
            ensure("verify failed" in refused(server.port, old_trust), "the old one is gone")
            equal(old.get("/healthz").status, 200, "the old connection goes on")
            with open(certificate.file, encoding="ascii") as file:
                good = file.read()
            stale = expired(place, "stale")
            for bad, word in (("garbage", "there is none in it"),
                              (good[:200] + "AAAA" + good[204:], "certificate"),
                              (open(stale.file, encoding="ascii").read(), "another certificate")):
                with open(certificate.file, "w", encoding="ascii") as file:
                    file.write(bad)
                reload(server, "certificate_refused")
                ensure(word in server.log[-1] and "old certificate" in server.log[-1],
                       server.log[-1])
            shutil.copy(stale.file, certificate.file)
            shutil.copy(stale.key, certificate.key)
            reload(server, "certificate_refused")
            ensure("has expired on 2020-01-02" in server.log[-1], server.log[-1])
            os.unlink(certificate.file)
            reload(server, "certificate_refused")
            with open(certificate.file, "w", encoding="ascii") as file:
                file.write(good)
            equal(serial(server.port, certificate), second, "still in force")
            equal(old.get("/healthz").status, 200, "the oldest connection")
            certificate.make("server", kind=("rsa:2048",))
            reload(server, "certificate_reloaded")
            ensure(serial(server.port, certificate) not in (first, second), "one with RSA")


@nets("epoll")
def test_reload_links(context):
    """Files that are links, as who renews certificates by himself likes them."""
    with Place() as place:
        os.makedirs(place.dir + "/live")
        os.makedirs(place.dir + "/archive")
        certificate = place.certificate("archive/first")
        other = place.certificate("archive/second", days=60)
        names = [place.dir + "/live/chain.pem", place.dir + "/live/key.pem"]

        def put_in_force(made):
            for target, name in ((made.file, names[0]), (made.key, names[1])):
                os.symlink(target, name + ".new")
                os.rename(name + ".new", name)

        put_in_force(certificate)
        certificate.file, certificate.key = names
        with context.server(tls=certificate) as server:
            before = serial(server.port, certificate)
            expires = metric(server, "margind_tls_certificate_expires_timestamp_seconds")
            ensure(29 < (expires - time.time()) / 86400 < 31, "expires in a month")
            put_in_force(other)
            reload(server, "certificate_reloaded")
            ensure(serial(server.port, certificate) != before, "another certificate")
            more = metric(server, "margind_tls_certificate_expires_timestamp_seconds") - expires
            ensure(29 < more / 86400 < 31, "expires in two months")


@nets("epoll")
def test_trust(context):
    """What marginctl and margin-load say of a server that they should not believe."""
    with Place() as place:
        certificate, other = place.certificate(), place.certificate("other")
        named = place.certificate("named", names="DNS:margin.example")
        with context.server(tls=certificate) as server:
            address = "127.0.0.1:%d" % server.wire_port
            ctl(context, server, "stats", "--server", address, "--tls-ca", certificate.file)
            ctl(context, server, "stats", "--server", "tls://" + address, "--tls-ca",
                certificate.file)
            ctl(context, server, "stats", "--server", "localhost:%d" % server.wire_port,
                "--tls-ca", certificate.file)
            for arguments, word in ((["--tls-ca", other.file], "is not trusted"),
                                    (["--tls"], "is not trusted"),
                                    ([], "speaks TLS: connect with --tls"),
                                    (["--tls-ca", place.dir + "/absent"], "No such file"),
                                    (["--tls-ca", certificate.key], "cannot read certificates")):
                done = ctl(context, server, "stats", "--server", address, *arguments, code=1)
                ensure(word in done.stderr, "%s: %s" % (arguments, done.stderr))
                equal(len(done.stderr.splitlines()), 1, "one line")
            done = ctl(context, server, "stats", "--server", "127.0.0.1:%d" % server.port,
                       "--tls-ca", certificate.file, code=1)
            ensure("not this protocol" in done.stderr, done.stderr)
            done = context.tool("margin-load", "--data-dir", server.dir, "--events", "1000",
                                "--http", "https://127.0.0.1:%d" % server.port)
            ensure(done.returncode == 1 and "is not trusted" in done.stderr, done.stderr)
        with context.server(tls=named) as server:
            done = ctl(context, server, "stats", "--server", "127.0.0.1:%d" % server.wire_port,
                       "--tls-ca", named.file, code=1)
            ensure("is not for 127.0.0.1" in done.stderr, done.stderr)
        with context.server(tls=expired(place, "stale")) as server:
            ensure(any("tls_certificate_expired" in line for line in server.log), "warning")
            done = ctl(context, server, "stats", "--server", "127.0.0.1:%d" % server.wire_port,
                       "--tls-ca", place.dir + "/stale.pem", code=1)
            ensure("expired" in done.stderr, done.stderr)
        with context.server() as server:
            for port in (server.wire_port, server.port):
                done = ctl(context, server, "stats", "--server", "127.0.0.1:%d" % port, "--tls",
                           code=1)
                ensure("does not speak TLS" in done.stderr, done.stderr)


def test_plain_and_garbage(context):
    """Who does not speak TLS is told so where that can be; the rest is cut off, and nobody else
    notices."""
    with Place() as place:
        certificate = place.certificate()
        with context.server(tls=certificate) as server:
            client = server.client()
            for request in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /api/events/ingest HT"):
                answer = raw(server.port, request)
                ensure(answer.startswith(b"HTTP/1.1 400 ") and b"use https" in answer, answer)
                body = answer.split(b"\r\n\r\n", 1)[1]
                equal(json.loads(body)["code"], "invalid_request", "code")
            answer = raw(server.wire_port, b"\x0c\x00\x00\x00\x01" + bytes(23))
            ensure(b"this socket speaks TLS" in answer, answer)
            order = random.Random(7)
            hello = bytes.fromhex("16030100") + b"\xfa" + bytes.fromhex("010000f60303") + bytes(245)
            attempts = [b"", b"\x16", hello[:9], hello[:40], b"\x16\x03\x01\xff\xff" + bytes(70000),
                        bytes.fromhex("1603010009020000050303000000"),  # a server's hello
                        bytes.fromhex("160301000401ffffff") + bytes(100),  # 16 MB to come
                        bytes.fromhex("16030100010100"), bytes.fromhex("80" * 40),
                        bytes.fromhex("150301000201000000"), hello * 300]
            for _ in range(60):
                changed = bytearray(hello)
                for _ in range(order.randrange(1, 12)):
                    changed[order.randrange(1, len(changed))] = order.randrange(256)
                attempts.append(bytes(changed))
            for _ in range(30):
                attempts.append(b"\x16" + order.randbytes(order.randrange(1, 3000)))
            for port in (server.port, server.wire_port):
                for attempt in attempts:
                    answer = raw(port, attempt, shut=True, seconds=5)
                    ensure(len(answer) < 200, "an answer of %d bytes" % len(answer))
            # Established, then nonsense where records should be.
            for _ in range(20):
                connection = shake(server.port, certificate.trust())
                bare = socket.socket(fileno=connection.detach())
                bare.settimeout(10)
                bare.sendall(b"\x17\x03\x03\x00\x40" + order.randbytes(64))
                while bare.recv(4096):
                    pass
                bare.close()
            equal(client.get("/healthz").status, 200, "who was there before")
            equal(server.client().get("/healthz").status, 200, "who comes after")
            ensure(metric(server, "margind_tls_refused_total") > 100, "refused")
            ensure(metric(server, "margind_connections") < 60, "they are gone")


def take_until(connection, incoming, outgoing, step):
    """A step of a client in memory, with what it sends and has to wait for."""
    while True:
        try:
            return step()
        except ssl.SSLWantReadError:
            connection.sendall(outgoing.read())
            part = connection.recv(65536)
            incoming.write(part) if part else incoming.write_eof()


@alone
def test_slow_handshakes(context):
    """Two hundred that never finish their handshake, some byte by byte, and one that works."""
    with Place() as place:
        certificate = place.certificate()
        with context.server(tls=certificate, arguments=["--front-threads", "1"]) as server:
            hello = hello_of(certificate)
            slow = []
            for n in range(200):
                connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
                # Silent, cut off somewhere, or waiting for our answer for ever.
                connection.sendall(hello[:(0, 5, n, len(hello) - 1, len(hello))[n % 5]])
                slow.append(connection)
            done = threading.Event()

            def drip():
                at = 100
                while not done.wait(0.05) and at < 200:
                    for connection in slow[2::5]:
                        try:
                            connection.sendall(b"\x00")
                        except OSError:
                            pass
                    at += 1

            dripping = threading.Thread(target=drip)
            dripping.start()
            longest = 0
            for n in range(100):
                begin = time.monotonic()
                with_new = server.client() if n % 10 == 0 else with_new
                equal(with_new.ingest([{"eventName": "e", "customerReferenceId": "c",
                                        "featureKey": "f", "costAmount": 1}])["accepted"], 1, "in")
                longest = max(longest, time.monotonic() - begin)
            done.set()
            dripping.join()
            ensure(longest < 2, "a request took %.3f s" % longest)
            for connection in slow:
                connection.close()


def hello_of(certificate):
    """What a client sends first."""
    hello = ssl.MemoryBIO()
    half = certificate.trust().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="127.0.0.1")
    try:
        half.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return hello.read()


@alone
@once
def test_half_open(context):
    """Three thousand that send a hello and nothing more, and a thousand that send half of one, take
    no more than the handshakes that may be under way; who answers is served at once."""
    more_files(5000)
    with Place() as place:
        certificate = place.certificate()
        with context.server(tls=certificate, arguments=["--front-threads", "1"]) as server:
            most = metric(server, "margind_tls_handshakes_max")
            hello = hello_of(certificate)
            before = private(server)
            half = [socket.create_connection(("127.0.0.1", server.port), timeout=30)
                    for _ in range(4000)]
            for n, connection in enumerate(half):
                connection.sendall(hello if n % 4 else hello[:-1])
            for n, connection in enumerate(half):
                ensure(n % 4 == 0 or connection.recv(1), "an answer to a hello")
            spans = []
            for _ in range(20):
                begin = time.monotonic()
                client = server.client()
                equal(client.ingest([{"eventName": "e", "customerReferenceId": "c",
                                      "featureKey": "f", "costAmount": 1}])["accepted"], 1, "in")
                spans.append(time.monotonic() - begin)
            taken = private(server) - before
            ensure(sorted(spans)[10] < 1, "new clients took %r s" % spans)
            # The asker's own made one of them way, and is over.
            equal(metric(server, "margind_tls_handshakes"), most - 1, "under way")
            ensure(metric(server, "margind_tls_handshakes_cut_total") >= 3000 - most, "made way")
            bound = most * 70000 + len(half) * 16000
            ensure(taken < bound, "%d bytes, %d expected" % (taken, bound))
            for connection in half:
                connection.close()


def test_more_after_the_end(context):
    """What a client sends after its goodbye is ignored; its answers come."""
    with Place() as place:
        certificate = place.certificate()
        with context.server(tls=certificate) as server:
            event = json.dumps({"events": [{"eventName": "e", "customerReferenceId": "c",
                                            "featureKey": "f", "costAmount": 1}]}).encode()
            request = (b"POST /api/events/ingest HTTP/1.1\r\nHost: x\r\nObserve-Key: %s\r\n"
                       b"Content-Length: %d\r\n\r\n%s" % (server.key.encode(), len(event), event))
            for rest in (b"", b"x" * 10, b"x" * 200000):
                incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
                peer = certificate.trust().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
                connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
                take_until(connection, incoming, outgoing, peer.do_handshake)
                peer.write(request * 5)
                try:
                    peer.unwrap()
                except ssl.SSLWantReadError:
                    pass
                connection.sendall(outgoing.read() + rest)
                data = b""
                while True:
                    part = connection.recv(65536)
                    if not part:
                        break
                    data += part
                # What peer would not read any more: five answers of some hundred bytes, and an end.
                ensure(len(data) > 5 * 150, "%d bytes after %d" % (len(data), len(rest)))
                connection.close()
            equal(server.client().good("/api/events")["total"], 15, "events")


def test_end(context):
    """A client that has said its last still gets its answer; ours ends with a word, too."""
    with Place() as place:
        certificate = place.certificate()
        with context.server(tls=certificate) as server:
            trust = certificate.trust()
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            peer = trust.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)

            take_until(connection, incoming, outgoing, peer.do_handshake)
            peer.write(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
            try:
                peer.unwrap()  # our goodbye, before the answer
            except ssl.SSLWantReadError:
                pass
            connection.sendall(outgoing.read())
            data = b""
            while True:
                part = connection.recv(65536)
                if not part:
                    break
                data += part
            ensure(len(data) > 100000, "an answer of %d bytes" % len(data))
            connection.close()
            connection = shake(server.port, trust)
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            data = b""
            while True:
                part = connection.recv(65536)  # an end without a goodbye raises
                if not part:
                    break
                data += part
            ensure(data.endswith(b'{"status":"ok"}'), data)
            idle = shake(server.port, trust)
            server.stop()
            equal(idle.recv(10), b"", "a stopped server says goodbye")


@nets("epoll")
def test_cookie(context):
    """Over TLS the session's cookie is for TLS only."""
    with Place() as place:
        certificate = place.certificate()
        for tls in (certificate, None):
            with context.server(tls=tls) as server:
                made = ctl(context, server, "admin", "create", "me@example.com",
                           input="a long password\n")
                del made
                reply = server.client().send("POST", "/api/auth/login", {
                    "email": "me@example.com", "password": "a long password"}, key=False)
                equal(reply.status, 200, "login (%r)" % reply.body)
                equal("; Secure" in reply.headers["Set-Cookie"], tls is not None, "Secure")
