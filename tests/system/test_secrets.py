"""Secrets stay where they belong: not in the log, the metrics, the files, the answers."""

import os
import secrets
import socket
import struct

from harness import ensure, equal, raw

GOOD = {"eventName": "chat", "customerReferenceId": "acme", "featureKey": "search"}
PASSWORD = "correct horse battery " + secrets.token_hex(8)


class Box:
    """Every secret that was given away; each one is only made here."""

    def __init__(self):
        self.texts = {}

    def keep(self, what, text):
        self.texts[text] = what
        return text

    def key(self, what):
        return self.keep(what, "obs_" + secrets.token_hex(24))

    def word(self, what):
        return self.keep(what, "hidden-" + secrets.token_hex(12))

    def found_in(self, data):
        """A part of a secret is one, too."""
        return [what for text, what in self.texts.items() if text[6:22].encode() in data]


def login(client, password):
    return client.send("POST", "/api/auth/login",
                       {"email": "boss@example.com", "password": password}, key=False)


def use_well(context, server, box):
    """What is allowed: logins, keys made and reset, events, bodies that are kept."""
    done = context.tool("marginctl", "admin", "create", "boss@example.com", "--data-dir",
                        server.dir, input=box.keep("password", PASSWORD) + "\n")
    equal(done.returncode, 0, done.stderr)
    client = server.client(box.keep("first key", server.key))
    token = box.keep("token", login(client, PASSWORD).json["token"])
    session = {"Authorization": "Bearer " + token}
    made = client.send("POST", "/api/sdk-keys", {"name": "made"}, headers=session, key=False).json
    box.keep("made key", made["key"])
    reset = client.send("POST", "/api/sdk-keys/%d/reset" % made["id"], headers=session, key=False)
    box.keep("reset key", reset.json["key"])
    signup = client.send("POST", "/api/signup", {"email": "new@example.com"}, key=False)
    box.keep("key of signing up", signup.json["key"])
    equal(client.ingest([GOOD])["accepted"], 1, "ingest")
    client.get("/api/auth/me", key=False, headers={"Cookie": "margin_session=" + token})
    client.send("POST", "/api/auth/logout", headers=session, key=False)


def use_badly(server, box):
    """Wrong secrets wherever somebody may put one."""
    client = server.client("none")
    for name in ("Observe-Key", "X-Tanso-Key", "X-Observe-Key", "X-API-Key"):
        client.get("/api/events", key=False, headers={name: box.key("bad " + name)})
    for scheme in ("Bearer ", "Basic ", "bearer", ""):
        fields = {"Authorization": scheme + box.key("Authorization " + scheme)}
        client.get("/api/events", key=False, headers=fields)
        client.send("POST", "/api/v1/client/events", {}, key=False, headers=fields)
    client.get("/api/events", key=False, headers={"Cookie": "margin_session=" + box.key("cookie")})
    for i in range(3):
        login(client, box.word("wrong password"))
    client.send("POST", "/api/auth/login", '{"email":"boss@example.com","password":"%s'
                % box.word("password of a cut body"), key=False, checked=False)
    client.send("POST", "/api/auth/login", {"email": box.word("e-mail"), "password": "x" * 2000},
                key=False)
    good = server.client()
    good.get("/api/events?api_key=%s" % box.key("query"), odd=True)
    good.get("/api/events/%s" % box.key("path"), odd=True)
    good.get("/api/nothing/%s" % box.key("unknown path"), checked=False)
    good.send("POST", "/api/events/ingest", {"events": [dict(GOOD, costAmount=box.key("cost"))]})
    good.send("POST", "/api/events/ingest", "{%s" % box.key("no JSON"), checked=False)
    good.send("POST", "/api/v1/client/events", {box.key("field"): 1}, odd=True)


def use_malformed(server, box):
    """Streams that make no sense, with a key in them."""
    heads = ("GET / HTTP/1.1\nHost: x\nObserve-Key: %s\n\n",
             "GET / HTTP/9.9\r\nObserve-Key: %s\r\n\r\n", "GET /%s", "%s\r\n\r\n",
             "GET / HTTP/1.1\r\nHost: x\r\nObserve-Key:\0%s\r\n\r\n",
             "GET / HTTP/1.1\r\nHost: x\r\n Observe-Key: %s\r\n\r\n",
             "GET / HTTP/1.1\r\nHost: x\r\nX: " + "a" * 20000 + "%s\r\n\r\n",
             "POST /api/events/ingest HTTP/1.1\r\nHost: x\r\nObserve-Key: %s\r\n"
             "Content-Length: 5\r\nContent-Length: 6\r\n\r\n")
    for head in heads:
        raw(server.port, (head % box.key("head %r" % head[:40])).encode(), shut=True, seconds=5)
    for type in (0, 1, 2, 3, 200):
        payload = box.key("frame of type %d" % type).encode()
        frame = struct.pack("<IBBHII", len(payload), type, 0, 0, 7, 0) + payload
        with socket.create_connection(("127.0.0.1", server.wire_port), timeout=5) as stranger:
            stranger.sendall(frame)
            ensure(box.found_in(stranger.recv(65536)) == [], "a frame's answer")


def test_secrets_stay_hidden(context):
    box = Box()
    arguments = ["--log-level", "debug", "--limit-failed", "5", "--limit-login", "2"]
    with context.server(arguments=arguments) as server:
        use_well(context, server, box)
        use_badly(server, box)
        use_malformed(server, box)
        wrong = box.key("marginctl")
        done = context.tool("marginctl", "stats", "--server", "127.0.0.1:%d" % server.wire_port,
                            "--data-dir", server.dir, "--key", wrong)
        equal(box.found_in(done.stderr.encode()), [], "marginctl's error")
        public = b"".join(server.client().get(path, key=False).body for path in
                          ("/metrics", "/healthz", "/readyz", "/openapi.json", "/llms.txt"))
        server.stop()
        equal(box.found_in(public), [], "what is served to everybody")
        log = "".join(server.log)
        ensure("event=credentials_refused" in log and "event=stopped" in log, "the log is whole")
        equal(box.found_in(log.encode()), [], "log")
        ensure("@example.com" not in log, "a person in the log")
        for folder, _, names in os.walk(server.dir):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    found = box.found_in(file.read())
                equal(found, ["first key"] if name == "api-key" else [], path)
                equal(os.stat(path).st_mode & 0o077, 0, "%s is the owner's alone" % path)
            equal(os.stat(folder).st_mode & 0o077, 0, "%s is the owner's alone" % folder)
        ensure(len(box.texts) > 30, "secrets")
