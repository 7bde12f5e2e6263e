"""Rate limits, and what pages of other origins may do."""

import concurrent.futures
import http.client
import re
import time

from harness import ensure, equal, raw

GOOD = {"eventName": "chat", "customerReferenceId": "acme", "featureKey": "search"}
HEADERS = ("Limit", "Remaining", "Reset")


def figures(reply):
    """Limit, remaining and reset, which stand in the answer twice; None if they do not."""
    plain = [reply.headers["RateLimit-" + name] for name in HEADERS]
    equal([reply.headers["X-RateLimit-" + name] for name in HEADERS], plain, "copies")
    return None if plain == [None] * 3 else [int(text) for text in plain]


def refused(reply, most, window_s, what):
    equal((reply.status, reply.json["code"]), (429, "rate_limited"), what)
    limit, remaining, reset = figures(reply)
    equal((limit, remaining), (most, 0), what)
    ensure(1 <= reset <= window_s, "%s: reset %d" % (what, reset))
    equal(int(reply.headers["Retry-After"]), reset, what)


def make_key(context, server, name, scopes="all"):
    arguments = ["key", "create", "--data-dir", server.dir, "--name", name]
    if scopes != "all":
        arguments += ["--scopes", scopes]
    result = context.tool("marginctl", *arguments)
    equal(result.returncode, 0, "marginctl key create (%s)" % result.stderr)
    return next(word for word in result.stdout.split() if word.startswith("obs_"))


def test_defaults(context):
    with context.server() as server:
        client = server.client()
        limit, remaining, reset = figures(client.get("/api/events"))
        equal((limit, remaining), (6000, 5999), "management")
        ensure(55 <= reset <= 60, "reset %d" % reset)
        equal(figures(client.get("/events/by-model"))[1], 5998, "both names count")
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/llms.txt"):
            equal(figures(client.get(path)), None, path)
        for _ in range(3):
            reply = client.send("POST", "/api/events/ingest", {"events": [GOOD]})
            equal((reply.status, figures(reply)), (200, None), "ingest")


def test_management(context):
    with context.server(arguments=["--limit-management", "5"]) as server:
        one, other = server.client(), server.client(make_key(context, server, "other"))
        stranger = server.client("obs_" + "0" * 48)
        for i in range(5):
            reply = one.get("/api/events?limit=1" if i % 2 else "/events/by-feature")
            equal((reply.status, figures(reply)[:2]), (200, [5, 4 - i]), "request %d" % i)
        refused(one.get("/api/events"), 5, 60, "past the limit")
        refused(server.client().get("/api/events/nothing"), 5, 60, "on another connection")
        equal(other.get("/api/events").status, 200, "another key")
        # Whoever has no good credential is counted by address.
        for i in range(5):
            client = stranger if i % 2 else server.client()
            reply = client.get("/api/events", key=i % 2 == 1)
            equal((reply.status, figures(reply)[:2]), (401, [5, 4 - i]), "stranger %d" % i)
        refused(stranger.get("/api/events"), 5, 60, "stranger past the limit")
        refused(one.get("/api/pricing/models", key=False), 5, 60, "a public path")
        equal(other.get("/api/pricing/models").status, 200, "a public path with a good key")
        equal(one.get("/healthz").status, 200, "probes are never refused")
        equal(one.ingest([GOOD])["accepted"], 1, "ingest")
        metrics = one.get("/metrics").body.decode()
        ensure("\nmargind_rate_limited_total 4\n" in metrics, "metric")
        # A refused request with a body leaves the connection in order.
        for _ in range(2):
            reply = one.send("POST", "/api/events/test", {"featureKey": "x" * 1000})
            refused(reply, 5, 60, "with a body")
        equal(one.ingest([GOOD])["accepted"], 1, "after a refusal")


def make_admin(context, server, email):
    result = context.tool("marginctl", "admin", "create", email, "--data-dir", server.dir,
                          input="correct horse battery\n")
    equal(result.returncode, 0, "marginctl admin create (%s)" % result.stderr)


def login(server, email, password="correct horse battery"):
    return server.client().send("POST", "/api/auth/login", {"email": email, "password": password},
                                key=False)


def test_guessing(context):
    """Passwords and keys cannot be tried without end, also not with a good key beside them."""
    with context.server(arguments=["--limit-auth", "4"]) as server:
        make_admin(context, server, "a@example.com")
        for i in range(4):
            reply = login(server, "a@example.com", "guess %d" % i)
            equal((reply.status, figures(reply)[:2]), (401, [4, 3 - i]), "guess %d" % i)
        refused(login(server, "a@example.com"), 4, 900, "past the limit")
        refused(server.client().get("/auth/me", key=False), 4, 900, "nobody")
        refused(server.client().send("POST", "/api/auth/login", {
            "email": "a@example.com", "password": "guess"}), 4, 900, "with a key")
        # Who holds something good is not kept out by them, nor uses up what they have.
        for i in range(4):
            reply = server.client().get("/auth/me")
            equal((reply.status, figures(reply)[:2]), (200, [4, 3 - i]), "a key, %d" % i)
        refused(server.client().get("/auth/me"), 4, 900, "its own limit")
        equal(server.client().get("/api/events").status, 200, "everything else")


def from_address(server, address, key=None):
    """A client that comes from another address of this machine."""
    client = server.client(key or "none")
    client.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120,
                                                   source_address=(address, 0))
    return client


def too_many(reply, what, seconds):
    equal(reply.status, 429, what)
    error = reply.json["error"]
    code = error["code"] if isinstance(error, dict) else reply.json["code"]
    equal(code, "rate_limited", what)
    ensure(1 <= int(reply.headers["Retry-After"]) <= seconds, what + ": Retry-After")


def metric(server, name):
    body = server.client().get("/metrics").body.decode()
    return int(re.search(r"^margind_%s (\d+)$" % name, body, re.M)[1])


def test_bad_keys(context):
    """Bad keys are refused ever more curtly, good ones beside them never; both sockets count."""
    wrong = "obs_" + "0" * 48
    with context.server(arguments=["--limit-failed", "6"]) as server:
        guesser = from_address(server, "127.0.0.1", wrong)
        revoked = make_key(context, server, "revoked")
        listed = context.tool("marginctl", "key", "list", "--data-dir", server.dir).stdout
        number = next(line.split()[0] for line in listed.splitlines() if " revoked " in line)
        context.tool("marginctl", "key", "revoke", number, "--data-dir", server.dir)
        for key, path in ((wrong, "/api/events"), (revoked, "/api/events"), ("x", "/api/sdk-keys"),
                          (wrong, "/api/v1/client/events"), ("mss_" + "1" * 56, "/api/events")):
            reply = guesser.send("POST" if "client" in path else "GET", path,
                                 {} if "client" in path else None,
                                 headers={"Authorization": "Bearer " + key}, key=False)
            equal((reply.status, reply.headers["Connection"]), (401, None), "bad key %r" % key)
        equal(guesser.get("/api/events", key=False).status, 401, "no key is no guess")
        ctl = ["--server", "127.0.0.1:%d" % server.wire_port, "--data-dir", server.dir]
        done = context.tool("marginctl", "stats", *ctl, "--key", wrong)
        ensure("unknown, revoked or expired" in done.stderr, "wire, the last one: " + done.stderr)
        done = context.tool("marginctl", "stats", *ctl, "--key", wrong)
        ensure("too many" in done.stderr, "wire, past the limit: " + done.stderr)
        for path in ("/api/events", "/api/v1/client/events", "/api/events/ingest"):
            method = "GET" if path == "/api/events" else "POST"
            client = from_address(server, "127.0.0.1", wrong)
            reply = client.send(method, path, {} if method == "POST" else None,
                                headers={"Authorization": "Bearer " + wrong}, key=False)
            too_many(reply, path, 60)
            equal(reply.headers["Connection"], "close", path)
        # Neither a good key from there nor a bad one from elsewhere has to pay for it.
        equal(server.client().get("/api/events").status, 200, "a good key")
        equal(server.client().ingest([GOOD])["accepted"], 1, "and its events")
        equal(context.tool("marginctl", "stats", *ctl).returncode, 0, "a good key on the wire")
        equal(from_address(server, "127.0.0.2", wrong).get("/api/events").status, 401, "elsewhere")
        equal(metric(server, "bad_credentials_total"), 7, "metric")
        lines = [line for line in server.log if "event=credentials_refused" in line]
        equal(len(lines), 1, "lines")
        ensure("address=127.0.0.1 count=6" in lines[0], lines[0])


def test_bad_passwords(context):
    """Wrong passwords count for the e-mail address, whoever sends them; its owner gets in."""
    arguments = ["--limit-auth", "0", "--limit-login", "3"]
    with context.server(arguments=arguments) as server:
        make_admin(context, server, "a@example.com")

        def login(address, password, email="a@example.com"):
            return from_address(server, address).send(
                "POST", "/api/auth/login", {"email": email, "password": password}, key=False)

        right = "correct horse battery"
        for i in range(4):
            equal(login("127.0.0.1", right).status, 200, "a right one is no guess (%d)" % i)
        for i in range(3):
            equal(login("127.0.0.%d" % (2 + i), "guess").status, 401, "guess %d" % i)
        too_many(login("127.0.0.5", "guess"), "past the limit", 900)
        too_many(login("127.0.0.6", right, "A@Example.com "), "the right one, from nowhere", 900)
        equal(login("127.0.0.1", right).status, 200, "from where he was before")
        for i in range(3):
            equal(login("127.0.0.1", "guess").status, 401, "his own guess %d" % i)
        too_many(login("127.0.0.1", right), "his own guesses have an end, too", 900)
        # Who is nobody is counted in the same way.
        for i in range(3):
            equal(login("127.0.0.1", "guess", "b@example.com").status, 401, "nobody, %d" % i)
        too_many(login("127.0.0.1", "guess", "b@example.com"), "nobody, past the limit", 900)
        # Many at once are no more than one after the other.
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            statuses = list(pool.map(lambda i: login("127.0.1.%d" % (i + 1), "guess",
                                                     "c@example.com").status, range(12)))
        equal(statuses.count(401), 3, "at once: %r" % statuses)
        ensure(set(statuses) <= {401, 429, 503}, "at once: %r" % statuses)
        equal(metric(server, "bad_logins_total"), 12, "metric")
        make_admin(context, server, "d@example.com")
        equal(login("127.0.0.1", right, "d@example.com").status, 200, "somebody else")


def test_sessions(context):
    """A user has one allowance, whatever account he looks at, and however often he logs in."""
    with context.server(arguments=["--limit-management", "4", "--limit-auth", "0"]) as server:
        tokens = {}
        for email in ("a@example.com", "b@example.com"):
            make_admin(context, server, email)
            tokens[email] = [login(server, email).json["token"] for _ in range(2)]
        client = server.client()

        def ask(token, **headers):
            fields = dict(headers, Authorization="Bearer " + token)
            return client.get("/api/events/by-model", key=False, headers=fields)

        one, again = tokens["a@example.com"]
        statuses = [ask(token).status for token in (one, again, one, again, one, again)]
        equal(statuses, [200] * 4 + [429] * 2, "one user")
        equal(ask(tokens["b@example.com"][0]).status, 200, "another user")
        cookie = client.get("/api/events/by-model", key=False,
                            headers={"Cookie": "margin_session=" + again})
        refused(cookie, 4, 60, "by cookie")
        equal(client.get("/api/events/by-model").status, 200, "a key of the same account")


def test_expensive(context):
    """Who may not is told so, and uses up nothing of what the account has."""
    with context.server(arguments=["--limit-expensive", "2", "--limit-management", "6"]) as server:
        reader = server.client(make_key(context, server, "reader", "usage.read"))
        client = server.client()

        def status(client, **options):
            return client.send("POST", "/api/backfill/revenue", {}, **options).status

        equal([status(reader) for _ in range(7)], [403] * 6 + [429], "without the scope")
        equal([status(client, key=False) for _ in range(7)], [401] * 6 + [429], "nobody")
        statuses = [status(client) for _ in range(3)]
        ensure(429 not in statuses[:2] and 403 not in statuses, "%r" % statuses)
        equal(statuses[2], 429, "two a minute")
        equal(status(reader), 429, "in the window of its own")


def test_windows_end(context):
    with context.server(arguments=["--limit-ingest-requests", "3"]) as server:
        client = server.client()
        for _ in range(3):
            start = time.monotonic()
            statuses = [client.send("POST", "/api/events/ingest", {"events": [GOOD]}).status
                        for _ in range(4)]
            if time.monotonic() - start < 0.9:
                equal(statuses, [200, 200, 200, 429], "in one second")
            time.sleep(1.05)
        reply = client.send("POST", "/api/v1/client/events", {"eventName": "x"})
        equal((reply.status, figures(reply)), (201, [3, 2, 1]), "client event")
        for _ in range(3):
            reply = client.send("POST", "/api/v1/client/events", {"eventName": "x"})
        equal((reply.status, reply.json["error"]["code"]), (429, "rate_limited"), "its envelope")
        equal(figures(client.get("/api/events"))[0], 6000, "management has its own")


def test_events_a_second(context):
    with context.server(arguments=["--limit-ingest-events", "100"]) as server:
        client = server.client()
        other = server.client(make_key(context, server, "other"))
        start = time.monotonic()
        replies = [client.send("POST", "/api/events/ingest", {"events": [GOOD] * 60})
                   for _ in range(3)]
        if time.monotonic() - start < 0.9:
            equal([reply.status for reply in replies], [200, 200, 429], "60 events at a time")
            equal(replies[2].headers["Retry-After"], "1", "wait")
        equal(other.ingest([GOOD])["accepted"], 1, "another key")
        time.sleep(1.05)
        equal(client.ingest([GOOD])["accepted"], 1, "in the next second")


def test_compatible(context):
    arguments = ["--compat-published-limits", "on", "--compat-ingest-limit", "on"]
    with context.server(arguments=arguments) as server:
        client = server.client()
        for _ in range(60):
            equal(client.get("/api/events/by-agent").status, 200, "one of sixty")
            equal(client.ingest([GOOD])["accepted"], 1, "one of sixty")
        refused(client.get("/api/events/by-agent"), 60, 60, "the published limit")
        refused(client.send("POST", "/api/events/ingest", {"events": [GOOD]}), 60, 60, "ingest")


def test_threads_share_limits(context):
    with context.server(arguments=["--limit-management", "50", "--front-threads", "4"]) as server:
        clients = [server.client() for _ in range(16)]
        statuses = [client.get("/api/events/by-agent").status for _ in range(5)
                    for client in clients]
        equal((statuses.count(200), statuses.count(429)), (50, 30), "over four threads")


def test_proxies(context):
    def status(server, *addresses):
        lines = "".join("X-Forwarded-For: %s\r\n" % address for address in addresses)
        head = "GET /api/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        data = raw(server.port, (head + lines + "\r\n").encode())
        return int(data.split(b" ")[1])

    with context.server(arguments=["--limit-management", "2"]) as server:
        statuses = [status(server, "192.0.2.%d" % i) for i in range(3)]
        equal(statuses, [401, 401, 429], "the header is not believed")
    with context.server(arguments=["--limit-management", "2", "--forwarded-for", "on"]) as server:
        for i in range(3):
            equal(status(server, "192.0.2.%d" % i), 401, "clients of a proxy")
        equal(status(server, "192.0.2.9, 192.0.2.0"), 401, "the last address")
        equal(status(server, "192.0.2.9,192.0.2.0"), 429, "the last address")
        equal(status(server, "192.0.2.9", "192.0.2.0"), 429, "the last line")
        equal([status(server, "2001:db8::%d" % i) for i in range(3)], [401, 401, 429], "one /64")
        equal(status(server, "2001:db8:0:1::1"), 401, "another /64")
        equal([status(server, "::ffff:192.0.2.0"), status(server, "192.0.2.0")], [429, 429],
              "a mapped address")


ORIGIN = "https://app.example"


def preflight(client, path, origin=ORIGIN, method="POST", key=False):
    return client.send("OPTIONS", path, key=key, checked=False, headers={
        "Origin": origin, "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "observe-key, content-type"})


def allow(reply):
    return {name: value for name, value in reply.headers.items()
            if name.lower().startswith("access-control-allow-")}


def test_cors_is_off(context):
    with context.server() as server:
        client = server.client()
        reply = preflight(client, "/api/events")
        equal((reply.status, allow(reply), reply.headers["Vary"]), (405, {}, None), "preflight")
        reply = client.get("/api/events", headers={"Origin": ORIGIN})
        equal((reply.status, allow(reply), reply.headers["Vary"]), (200, {}, None), "request")


def test_cors(context):
    origins = "http://localhost:3000, %s" % ORIGIN
    with context.server(arguments=["--cors-origins", origins]) as server:
        client = server.client()
        for path, methods in (("/api/events", "GET, HEAD"), ("/api/v1/client/events", "POST"),
                              ("/api/events/7", "GET, HEAD")):
            reply = preflight(client, path)
            equal((reply.status, reply.body), (204, b""), path)
            equal(allow(reply), {"Access-Control-Allow-Origin": ORIGIN,
                                 "Access-Control-Allow-Credentials": "true",
                                 "Access-Control-Allow-Methods": methods,
                                 "Access-Control-Allow-Headers": "observe-key, content-type"}, path)
            equal(reply.headers["Vary"], "Origin, Access-Control-Request-Headers", path)
            equal(figures(reply), None, "preflights are not counted")
        for origin in ("https://evil.example", "https://app.example.evil", "https://app.exampl",
                       "http://app.example", "null"):
            reply = preflight(client, "/api/events", origin)
            equal((reply.status, allow(reply)), (204, {}), origin)
            reply = client.get("/api/events", headers={"Origin": origin})
            equal((reply.status, allow(reply), reply.headers["Vary"]), (200, {}, "Origin"), origin)
        # What is no preflight is an OPTIONS like any other.
        reply = client.send("OPTIONS", "/api/events", headers={"Origin": ORIGIN})
        equal((reply.status, reply.headers["Allow"]), (405, "GET, HEAD"), "OPTIONS")
        equal(preflight(client, "/api/nothing").status, 404, "unknown path")
        # Every answer can be read by the page: good ones, refusals, and those of the HTTP layer.
        for reply, status in ((client.get("/api/events", headers={"Origin": ORIGIN}), 200),
                              (client.get("/api/events", key=False, headers={"Origin": ORIGIN}),
                               401),
                              (client.get("/api/nothing", headers={"Origin": ORIGIN}), 404),
                              (client.send("PUT", "/api/events", headers={"Origin": ORIGIN}), 405),
                              (client.send("POST", "/api/events/ingest", {"events": [GOOD]},
                                           headers={"Origin": ORIGIN}), 200)):
            equal((reply.status, reply.headers["Access-Control-Allow-Origin"],
                   reply.headers["Vary"]), (status, ORIGIN, "Origin"), "status %d" % status)
            ensure("Retry-After" in reply.headers["Access-Control-Expose-Headers"], "exposed")
        reply = client.get("/api/events")
        equal((allow(reply), reply.headers["Vary"]), ({}, "Origin"), "without Origin")


def test_cors_for_everybody(context):
    with context.server(arguments=["--cors-origins", "*"]) as server:
        client = server.client()
        reply = preflight(client, "/api/events", "https://any.example")
        equal(allow(reply)["Access-Control-Allow-Origin"], "*", "origin")
        ensure("Access-Control-Allow-Credentials" not in reply.headers, "no credentials")
        reply = client.get("/api/events", headers={"Origin": "https://any.example"})
        equal(allow(reply), {"Access-Control-Allow-Origin": "*"}, "request")


def test_bad_settings(context):
    for option, value in (("--cors-origins", "app.example"), ("--cors-origins", "https://a/b"),
                          ("--limit-auth", "-1"), ("--limit-management", "x"),
                          ("--forwarded-for", "yes")):
        result = context.tool("margind", "--data-dir", "/nonexistent/x", option, value)
        equal(result.returncode, 2, "%s %s" % (option, value))
        ensure(option in result.stderr, result.stderr)
