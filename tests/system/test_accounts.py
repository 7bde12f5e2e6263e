"""Accounts, users, sessions, roles, API keys, signing up and plans (Observe 1.1 to 1.6)."""

import calendar
import datetime
import os
import re
import threading
import time

from harness import alone, ensure, equal

GOOD = {"eventName": "chat", "customerReferenceId": "acme", "featureKey": "search"}
OPEN = ("--limit-auth", "0", "--limit-signup", "0", "--limit-expensive", "0", "--limit-failed",
        "0")
PASSWORD = "correct horse battery"
KEY = re.compile(r"obs_[0-9a-f]{48}")
WRONG_KEY = "obs_" + "0" * 48


def admin(context, server, email, *options, password=PASSWORD):
    done = context.tool("marginctl", "admin", "create", email, "--data-dir", server.dir, *options,
                        input=password + "\n")
    equal(done.returncode, 0, "marginctl admin create (%s)" % done.stderr)
    return done.stderr


def account(context, server, name, *options):
    done = context.tool("marginctl", "account", "create", name, "--data-dir", server.dir, *options)
    equal(done.returncode, 0, "marginctl account create (%s)" % done.stderr)
    return int(done.stdout)


def login(server, email, password=PASSWORD, status=200, **headers):
    reply = server.client().send("POST", "/api/auth/login", {"email": email, "password": password},
                                 headers=headers, key=False)
    equal(reply.status, status, "login of %s (%r)" % (email, reply.body))
    return reply


class Session:
    """A connection that shows a token instead of a key."""

    def __init__(self, server, email, **options):
        self.client = server.client()
        self.token = login(server, email, **options).json["token"]

    def send(self, method, path, body=None, **headers):
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        fields["Authorization"] = "Bearer " + self.token
        return self.client.send(method, path, body, headers=fields, key=False)

    def get(self, path, **headers):
        return self.send("GET", path, **headers)

    def make_key(self, **fields):
        reply = self.send("POST", "/api/sdk-keys", fields)
        equal(reply.status, 201, "making a key (%r)" % reply.body)
        return reply.json


def signup(server, email, status=201, **fields):
    reply = server.client().send("POST", "/api/signup", dict(fields, email=email), key=False)
    equal(reply.status, status, "signup %s %r (%r)" % (email, fields, reply.body))
    return reply.json


def millis(text):
    time = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")
    return calendar.timegm(time.timetuple()) * 1000 + time.microsecond // 1000


def now():
    return int(time.time() * 1000)


def test_login(context):
    with context.server(arguments=OPEN) as server:
        admin(context, server, " Me@Example.com ")
        reply = login(server, "ME@example.COM ")
        equal(set(reply.json), {"token", "expires_at", "account"}, "members")
        equal(reply.json["account"], {"id": 1, "email": "me@example.com", "name": "default"},
              "whose")
        life = millis(reply.json["expires_at"]) - now()
        ensure(abs(life - 7 * 86400000) < 60000, "seven days: %d" % life)
        ensure(not reply.json["token"].startswith("obs_"), "a token is told from a key")
        cookie = reply.headers["Set-Cookie"]
        for part in ("margin_session=" + reply.json["token"], "HttpOnly", "SameSite=Lax", "Path=/",
                     "Max-Age=604800"):
            ensure(part in cookie.split("; "), "%s in %s" % (part, cookie))
        ensure("Secure" not in cookie, "not over TLS")
        secure = login(server, "me@example.com", **{"X-Forwarded-Proto": "https"})
        ensure("Secure" in secure.headers["Set-Cookie"].split("; "), "behind TLS")
        for email, password in (("me@example.com", PASSWORD + "x"), ("you@example.com", PASSWORD),
                                ("me@example.com", "x" * 5000), ("nobody", PASSWORD)):
            equal(login(server, email, password, 401).json["code"], "unauthorized", "code")
        for body in ({}, {"email": "me@example.com"}, {"email": 5, "password": PASSWORD}, [], "x",
                     {"email": "me@example.com", "password": None}, {"email": "", "password": ""}):
            reply = server.client().send("POST", "/auth/login", body, key=False)
            equal((reply.status, reply.json["code"]), (400, "invalid_request"), "%r" % body)


def test_sessions(context):
    with context.server(arguments=OPEN) as server:
        admin(context, server, "me@example.com")
        client = server.client()
        equal(client.get("/api/auth/me", key=False).json, {"account": None}, "nobody")
        equal(client.get("/api/auth/me").json, {"account": None}, "a key is nobody")
        session, other = Session(server, "me@example.com"), Session(server, "me@example.com")
        equal(session.get("/api/auth/me").json["account"]["email"], "me@example.com", "me")
        equal(session.get("/api/sdk-keys/me").json,
              {"auth_type": "session", "email": "me@example.com", "account_id": 1, "role": "owner",
               "scopes": None}, "sdk-keys/me")
        equal(session.get("/api/events").status, 200, "a session reads")
        reply = session.send("POST", "/api/events/ingest", {"events": [GOOD]})
        equal(reply.status, 200, "and writes")
        for name in ("Observe-Key", "X-Tanso-Key", "X-Observe-Key"):
            reply = client.get("/api/events", key=False, headers={name: session.token})
            equal((reply.status, reply.json["code"]), (401, "unauthorized"), "it is no key")
        reply = client.send("POST", "/api/v1/client/events", {"eventName": "x"}, key=False,
                            headers={"X-API-Key": session.token})
        equal(reply.status, 401, "nor there")
        # The cookie does the same.
        cookie = {"Cookie": "a=b; margin_session=%s; c=d" % session.token}
        equal(client.get("/api/events", key=False, headers=cookie).status, 200, "cookie")
        for bad in ("margin_session=x", "margin_session=" + session.token[:-1] + "g",
                    "margin_session=" + server.key):
            reply = client.get("/api/events", key=False, headers={"Cookie": bad})
            equal((reply.status, reply.json["code"]), (401, "unauthorized"), bad)
        # A header comes first, good or bad.
        equal(client.get("/api/events", key=False,
                         headers=dict(cookie, Authorization="Bearer x")).status, 401, "bad first")
        equal(client.get("/api/sdk-keys/me", headers=cookie).json["auth_type"], "sdk_key",
              "key first")
        equal(client.get("/api/auth/me", key=False,
                         headers={"Authorization": "Bearer x"}).status, 401, "bad is never null")
        # The client endpoints take keys only.
        reply = session.send("POST", "/api/v1/client/events", {"eventName": "x"})
        equal((reply.status, reply.json["error"]["code"]), (403, "forbidden"), "client endpoint")
        # A restart ends no session, logging out ends one.
        server.restart(hard=True)
        session.client, other.client = server.client(), server.client()
        equal(session.get("/api/auth/me").status, 200, "after a restart")
        reply = session.send("POST", "/api/auth/logout")
        equal((reply.status, reply.json), (200, {"success": True}), "logout")
        ensure("Max-Age=0" in reply.headers["Set-Cookie"], "the cookie goes")
        for path in ("/api/events", "/api/auth/me", "/api/me/accounts"):
            equal(session.get(path).status, 401, "%s after logout" % path)
        equal(session.send("POST", "/api/auth/logout").status, 401, "logout twice")
        equal(server.client().send("POST", "/api/auth/logout").status, 403, "a key cannot log out")
        equal(other.get("/api/auth/me").status, 200, "the other session")
        done = context.tool("marginctl", "admin", "passwd", "me@example.com", "--generate",
                            "--data-dir", server.dir)
        equal(done.returncode, 0, done.stderr)
        equal(other.get("/api/auth/me").status, 401, "a new password ends all sessions")
        login(server, "me@example.com", PASSWORD, 401)
        login(server, "me@example.com", done.stdout.strip())


def test_cross_site(context):
    """A write by cookie must come from our own pages."""
    origin = "https://app.example"
    with context.server(arguments=OPEN + ("--cors-origins", origin)) as server:
        admin(context, server, "me@example.com")
        token = login(server, "me@example.com").json["token"]
        client = server.client()
        host = "127.0.0.1:%d" % server.port
        cookie = {"Cookie": "margin_session=" + token}
        good = ({}, {"Origin": "http://" + host}, {"Sec-Fetch-Site": "same-origin"},
                {"Sec-Fetch-Site": "none"}, {"Origin": origin},
                {"Origin": origin, "Sec-Fetch-Site": "cross-site"})
        bad = ({"Origin": "http://evil.example"}, {"Origin": "null"},
               {"Origin": "http://127.0.0.1:1"}, {"Sec-Fetch-Site": "cross-site"},
               {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://evil.example:%d" % server.port},
               {"Origin": "http://" + host, "Sec-Fetch-Site": "cross-site"},
               {"Origin": "https://app.example.evil.example"})
        for headers in good + bad:
            wanted = (200, 200) if headers in good else (403, 403)
            reply = client.send("POST", "/api/events/ingest", {"events": [GOOD]},
                                headers=dict(cookie, **headers), key=False)
            equal(reply.status, wanted[0], "write with %r" % headers)
            equal(client.get("/api/events", headers=dict(cookie, **headers), key=False).status, 200,
                  "read with %r" % headers)
            bearer = dict(headers, Authorization="Bearer " + token)
            reply = client.send("POST", "/api/events/ingest", {"events": [GOOD]}, headers=bearer,
                                key=False)
            equal(reply.status, 200, "no page can set a header: %r" % headers)
            login(server, "me@example.com", status=wanted[1], **headers)


def test_accounts_of_a_user(context):
    with context.server(arguments=OPEN) as server:
        second = account(context, server, "second", "--plan", "free")
        third = account(context, server, "third")
        admin(context, server, "me@example.com", "--role", "viewer")
        admin(context, server, "me@example.com", "--account", "second")
        admin(context, server, "you@example.com", "--account", str(third))
        session = Session(server, "me@example.com")
        reply = session.get("/api/me/accounts").json
        equal(reply["current_account_id"], second, "the one that was joined last")
        rows = [(row["id"], row["name"], row["role"], row["status"], row["is_current"])
                for row in reply["accounts"]]
        equal(rows, [(1, "default", "viewer", "active", False),
                     (second, "second", "owner", "active", True)], "accounts")
        server.client().ingest([GOOD])
        for chosen, current, events in (("1", 1, 1), (str(second), second, 0),
                                        (str(third), second, 0), ("99", second, 0),
                                        ("x", second, 0), ("", second, 0), ("1x", second, 0),
                                        ("4294967297", second, 0), ("-1", second, 0)):
            reply = session.get("/api/me/accounts", X_Account_Id=chosen)
            equal(reply.json["current_account_id"], current, "X-Account-Id: %s" % chosen)
            reply = session.get("/api/events", X_Account_Id=chosen)
            equal(reply.json["total"], events, "events with X-Account-Id: %s" % chosen)
        # The role is that of the account.
        body = {"events": [GOOD]}
        reply = session.send("POST", "/api/events/ingest", body, X_Account_Id="1")
        equal((reply.status, reply.json["code"]), (403, "forbidden"), "a viewer writes")
        equal(session.send("POST", "/api/events/ingest", body).status, 200, "an owner writes")
        equal(session.get("/api/events").json["total"], 1, "into his own account")
        equal(session.get("/api/plan").json["plan"], "free", "plan")
        equal(session.get("/api/plan", X_Account_Id="1").json["plan"], "unlimited", "plan")
        # Roles change, and people leave, under their open sessions.
        for words, status in ((("role", "--role", "admin"), 200),
                              (("role", "--role", "viewer"), 403), (("remove",), 200)):
            done = context.tool("marginctl", "admin", words[0], "me@example.com", *words[1:],
                                "--data-dir", server.dir)
            equal(done.returncode, 0, done.stderr)
            reply = session.send("POST", "/api/events/ingest", body, X_Account_Id="1")
            equal(reply.status, status, "after %r" % (words,))
        reply = session.get("/api/me/accounts", X_Account_Id="1").json
        equal([row["id"] for row in reply["accounts"]], [second], "no account of his any more")
        equal(session.get("/api/events").json["total"], 2, "the last one went to his own")
        done = context.tool("marginctl", "admin", "remove", "me@example.com", "--account", "second",
                            "--data-dir", server.dir)
        equal((done.returncode, session.get("/api/events").status), (0, 401), "nowhere to go")
        login(server, "me@example.com", status=403)
        done = context.tool("marginctl", "admin", "remove", "me@example.com", "--data-dir",
                            server.dir)
        equal(done.returncode, 1, "he is gone already")
        # A key is of one account, whatever the header says.
        reply = server.client().get("/api/plan", headers={"X-Account-Id": str(second)})
        equal(reply.json["plan"], "unlimited", "a key's account")
        equal(server.client().get("/api/me/accounts").status, 403, "a key has no accounts")
        listing = context.tool("marginctl", "admin", "list", "--data-dir", server.dir).stdout
        equal(len(listing.splitlines()), 2, listing)
        listing = context.tool("marginctl", "account", "list", "--data-dir", server.dir).stdout
        equal(len(listing.splitlines()), 4, listing)


def test_making_keys(context):
    with context.server(arguments=OPEN) as server:
        admin(context, server, "me@example.com")
        session = Session(server, "me@example.com")
        reply = server.client().send("POST", "/api/sdk-keys", {})
        equal((reply.status, reply.json["code"]), (403, "forbidden"), "a key makes no key")
        equal(server.client().send("POST", "/api/sdk-keys", {}, key=False).status, 401, "nobody")
        equal(session.make_key()["name"], "default-2", "the first start made default")
        equal(session.make_key(name="", scopes=[])["name"], "default-3", "as absent")
        key = session.make_key(name=" mine ", scopes=["events.read", "admin", "events.read"],
                               budget_cents=500, budget_period="month", expires_in_seconds=3600,
                               unknown=[1])
        equal((key["name"], key["scopes"], key["budget_cents"], key["budget_period"]),
              ("mine", ["events.read", "admin"], 500, "month"), "as asked for")
        ensure(KEY.fullmatch(key["key"]) and key["key"][:11] == key["prefix"], "form")
        ensure(abs(millis(key["expires_at"]) - now() - 3600000) < 60000, "expiry")
        plain = session.make_key(name="plain", scopes=None, budget_cents=None, budget_period=None,
                                 expires_in_seconds=None)
        equal([plain[name] for name in ("scopes", "budget_cents", "budget_period", "expires_at")],
              [None] * 4, "null is absent")
        reply = session.send("POST", "/api/sdk-keys", {"name": "mine"})
        equal((reply.status, reply.json["code"]), (409, "conflict"), "a name twice")
        long = session.make_key(name="é" * 100)
        equal(long["name"], "é" * 100, "100 characters")
        equal(session.make_key(name=" " * 400 + "blank" + "\t" * 9)["name"], "blank",
              "what is around a name does not count")
        unbounded = session.make_key(name="period", budget_period="month")
        equal((unbounded["budget_cents"], unbounded["budget_period"]), (None, None),
              "a period of no budget")
        for body in ({"name": "é" * 101}, {"name": 5}, {"name": "a\nb"}, {"scopes": ["all"]},
                     {"scopes": "admin"}, {"scopes": [1]}, {"budget_cents": -1},
                     {"budget_cents": 1.5}, {"budget_cents": "1"}, {"budget_period": "week"},
                     {"budget_period": 1}, {"expires_in_seconds": 0}, {"expires_in_seconds": -5},
                     {"expires_in_seconds": 10 ** 12}, [], "x"):
            reply = session.send("POST", "/api/sdk-keys", body)
            equal((reply.status, reply.json["code"]), (400, "invalid_request"), "%r" % body)
        reply = session.send("POST", "/api/sdk-keys", {"scopes": ["events.read", "everything"]})
        ensure("everything" in reply.json["error"], "the unknown scope is named")
        reply = session.send("POST", "/api/sdk-keys", {"scopes": ["a" + "\u00e9" * 99]})
        ensure(reply.json["error"].endswith("a" + "\u00e9" * 31), "cut between letters")
        rows = session.get("/api/sdk-keys").json
        equal([row["name"] for row in rows],
              ["period", "blank", "é" * 100, "plain", "mine", "default-3", "default-2",
               "default"], "newest first")
        mine = rows[4]
        equal((mine["full_key"], mine["key_prefix"], mine["budget_cents"],
               mine["budget_used_cents"],
               mine["budget_period"], mine["scopes"]),
              (None, key["prefix"], 500, 0, "month", ["events.read", "admin"]), "row")
        ensure(mine["budget_reset_at"].endswith("-01T00:00:00.000Z"), "resets with the month")
        equal(rows[3]["budget_used_cents"], None, "no budget")


def test_key_me(context):
    with context.server(arguments=OPEN) as server:
        admin(context, server, "me@example.com")
        session = Session(server, "me@example.com")
        key = session.make_key(name="day", scopes=["usage.read"], budget_cents=7,
                               budget_period="day")
        me = server.client(key["key"]).good("/api/sdk-keys/me")
        reset = millis(me.pop("budget_reset_at"))
        ensure(abs(reset - now() - 86400000) < 60000, "24 hours from now")
        equal(me, {"auth_type": "sdk_key", "id": key["id"], "name": "day",
                   "key_prefix": key["prefix"], "scopes": ["usage.read"], "budget_cents": 7,
                   "budget_used_cents": 0, "budget_remaining_cents": 7, "budget_period": "day",
                   "expires_at": None}, "a key with a budget")
        me = server.client().good("/sdk-keys/me")
        equal([me[name] for name in ("scopes", "budget_cents", "budget_used_cents",
                                     "budget_remaining_cents", "budget_period", "budget_reset_at",
                                     "expires_at")], [None] * 7, "an unrestricted key")


def test_expiry_and_last_use(context):
    with context.server(arguments=OPEN) as server:
        admin(context, server, "me@example.com")
        session = Session(server, "me@example.com")
        key = session.make_key(name="short", expires_in_seconds=2)
        client = server.client(key["key"])
        rows = {row["name"]: row for row in session.get("/api/sdk-keys").json}
        equal(rows["short"]["last_used_at"], None, "never used")
        equal(client.get("/api/events").status, 200, "before")
        rows = {row["name"]: row for row in session.get("/api/sdk-keys").json}
        used = rows["short"]["last_used_at"]
        ensure(abs(millis(used) - now()) < 60000, "last use")
        equal(client.get("/api/events").status, 200, "again")
        time.sleep(2.1)
        reply = client.get("/api/events")
        equal((reply.status, reply.json["code"]), (401, "unauthorized"), "expired")
        rows = [row["name"] for row in session.get("/api/sdk-keys").json]
        ensure("short" not in rows, "an expired key is not listed")
        equal(session.make_key(name="short")["name"], "short", "and its name is free")
        server.client().good("/api/events")
        time.sleep(6)
        server.restart(hard=True)
        session.client = server.client()
        rows = {row["name"]: row for row in session.get("/api/sdk-keys").json}
        ensure(rows["default"]["last_used_at"] is not None, "written down by itself")


def test_reset_and_delete(context):
    with context.server(arguments=OPEN) as server:
        admin(context, server, "me@example.com")
        session = Session(server, "me@example.com")
        key = session.make_key(name="mine", scopes=["events.read"], budget_cents=500,
                               budget_period="day", expires_in_seconds=3600)
        old = server.client(key["key"])
        equal(old.get("/api/events").status, 200, "before")
        reply = session.send("POST", "/api/sdk-keys/%d/reset" % key["id"])
        equal((reply.status, set(reply.json)), (200, {"id", "key", "prefix", "name"}), "reset")
        fresh = reply.json
        ensure(fresh["id"] != key["id"] and fresh["key"] != key["key"], "another key")
        equal(old.get("/api/events").status, 401, "the old key is gone at once")
        me = server.client(fresh["key"]).good("/api/sdk-keys/me")
        equal((me["name"], me["scopes"], me["budget_cents"], me["budget_period"], me["expires_at"]),
              ("mine", ["events.read"], 500, "day", key["expires_at"]), "carried over")
        for method, path in (("POST", "/api/sdk-keys/%d/reset"), ("DELETE", "/api/sdk-keys/%d")):
            for number in (key["id"], 0, 99999, 2 ** 40, 2 ** 70):
                reply = session.send(method, path % number)
                equal((reply.status, reply.json["code"]), (404, "not_found"), path % number)
            for text in ("x", "1x", "-1", "1.0"):
                equal(session.send(method, path.replace("%d", text)).status, 404, text)
        reply = session.send("DELETE", "/api/sdk-keys/%d" % fresh["id"])
        equal((reply.status, reply.json), (200, {"success": True}), "delete")
        equal(server.client(fresh["key"]).get("/api/events").status, 401, "deleted")
        rows = session.get("/api/sdk-keys").json
        equal([row["name"] for row in rows], ["default"], "one is left")
        reply = session.send("DELETE", "/api/sdk-keys/%d" % rows[0]["id"])
        equal((reply.status, reply.json["code"]), (400, "invalid_request"), "the last one stays")
        equal(server.client().get("/api/events").status, 200, "the last one works")


def test_keys_that_manage_keys(context):
    """A key touches only keys that may do no more than itself."""
    with context.server(arguments=OPEN) as server:
        admin(context, server, "me@example.com")
        session = Session(server, "me@example.com")
        small = session.make_key(name="small", scopes=["events.write"])
        same = session.make_key(name="same", scopes=["events.write"])
        wide = session.make_key(name="wide", scopes=["events.write", "events.read"])
        reader = session.make_key(name="reader", scopes=["events.read"])
        root = session.make_key(name="root", scopes=["admin"])
        client = server.client(small["key"])
        equal(len(client.good("/api/sdk-keys")), 6, "listing")
        equal(server.client(reader["key"]).get("/api/sdk-keys").status, 403, "without the scope")
        for other in (wide, reader, root, {"id": 1}):
            for method, path in (("POST", "/api/sdk-keys/%d/reset"), ("DELETE", "/sdk-keys/%d")):
                reply = client.send(method, path % other["id"])
                equal((reply.status, reply.json["code"]), (403, "forbidden"), path % other["id"])
        bounds = [{"expires_in_seconds": 3600}, {"budget_cents": 5}, {"budget_cents": 5,
                  "budget_period": "day"}, {"expires_in_seconds": 600, "budget_cents": 4}]
        bound = [session.make_key(name="b%d" % i, scopes=["events.write"], **fields)
                 for i, fields in enumerate(bounds)]
        for i, key in enumerate(bound):
            for other in bound + [same]:
                covers = other is key or (i, other) in ((0, bound[3]), (1, bound[3]))
                if not covers:
                    path = "/api/sdk-keys/%d" % other["id"]
                    for method, end in (("POST", "/reset"), ("DELETE", "")):
                        reply = server.client(key["key"]).send(method, path + end)
                        equal(reply.status, 403, "%d and %d" % (key["id"], other["id"]))
        reply = server.client(bound[1]["key"]).send("DELETE", "/sdk-keys/%d" % bound[3]["id"])
        equal(reply.status, 200, "one that may spend less")
        reply = server.client(bound[2]["key"]).send("POST", "/sdk-keys/%d/reset" % bound[2]["id"])
        equal(reply.status, 200, "itself, with its bounds")
        equal(client.send("DELETE", "/api/sdk-keys/%d" % same["id"]).status, 200, "one like it")
        manager = server.client(root["key"])
        equal(manager.send("POST", "/api/sdk-keys/1/reset").status, 200, "admin passes every check")
        reply = client.send("POST", "/api/sdk-keys/%d/reset" % small["id"])
        equal(reply.status, 200, "itself")
        equal(client.get("/api/sdk-keys").status, 401, "and is gone")
        equal(server.client(reply.json["key"]).good("/api/sdk-keys/me")["scopes"], ["events.write"],
              "no more than before")


def test_signup(context):
    with context.server(arguments=OPEN + ("--account-plan", "free")) as server:
        made = signup(server, "  New@Example.com ")
        equal(made["scopes"], ["usage.read", "billing.read"], "default scopes")
        equal((made["expires_at"], made["budget_cents"], made["budget_period"]), (None,) * 3,
              "bounds")
        client = server.client(made["key"])
        equal(client.good("/api/plan")["plan"], "free", "the plan of the settings")
        equal(client.good("/api/sdk-keys/me")["name"], "default", "name")
        equal(client.get("/api/events").status, 403, "no more than its scopes")
        equal(server.client().good("/api/plan")["plan"], "unlimited", "the first account's")
        for email in ("new@example.com", "NEW@EXAMPLE.COM"):
            equal(signup(server, email, 409)["code"], "conflict", email)
        full = signup(server, "two@example.com", budget_cents=0, budget_period="day",
                      expires_in_seconds=60, scopes=["events.write", "proxy.chat"])
        equal((full["scopes"], full["budget_cents"], full["budget_period"]),
              (["proxy.chat", "events.write"], 0, "day"), "as asked for")
        equal(signup(server, "three@example.com", scopes=[])["scopes"],
              ["usage.read", "billing.read"], "an empty list is the default")
        bad = ({"email": "nobody"}, {"email": ""}, {"email": 5}, {"email": None}, {},
               {"email": "@" * 256}, {"email": "a@b\n@c"}, {"scopes": ["admin"]},
               {"scopes": ["usage.write"]}, {"scopes": ["alerts.read"]}, {"scopes": ["x"]},
               {"scopes": ["customers.write", "usage.read"]}, {"scopes": ["billing.write"]},
               {"budget_cents": -1}, {"budget_cents": 0.5}, {"budget_period": "year"},
               {"expires_in_seconds": 0})
        for fields in bad:
            body = dict({"email": "four@example.com"}, **fields) if fields else {}
            reply = server.client().send("POST", "/api/signup", body, key=False)
            equal((reply.status, reply.json["code"]), (400, "invalid_request"), "%r" % body)
        named = signup(server, "four@example.com", 400,
                       scopes=["admin", "usage.read", "alerts.write"])
        ensure("admin" in named["error"] and "alerts.write" in named["error"], "they are named")
        signup(server, "four@example.com")
        listing = context.tool("marginctl", "account", "list", "--data-dir", server.dir).stdout
        equal(len(listing.splitlines()), 1 + 5, listing)
        # An owner by signing up gets a password from the command line.
        done = context.tool("marginctl", "admin", "passwd", "four@example.com", "--data-dir",
                            server.dir, input=PASSWORD + "\n")
        equal(done.returncode, 0, done.stderr)
        session = Session(server, "four@example.com")
        equal(session.get("/api/sdk-keys/me").json["role"], "owner", "role")
    with context.server(arguments=OPEN + ("--signup", "off")) as server:
        equal(signup(server, "new@example.com", 403)["code"], "forbidden", "turned off")
    with context.server() as server:
        for number in range(3):
            signup(server, "%d@example.com" % number)
        equal(signup(server, "4@example.com", 429)["code"], "rate_limited", "3 an hour")


def test_signup_with_an_address_of_another(context):
    """A stranger's account is not where the address's owner gets to by logging in."""
    with context.server(arguments=OPEN) as server:
        stranger = server.client(signup(server, "me@example.com", scopes=["events.read"])["key"])
        login(server, "me@example.com", status=401)
        said = admin(context, server, "me@example.com")
        remove = "marginctl admin remove me@example.com --account 2"
        ensure("also belongs to account 2 by sign-up" in said and remove in said, said)
        session = Session(server, "me@example.com")
        equal(session.get("/api/me/accounts").json["current_account_id"], 1, "the operator's")
        reply = session.send("POST", "/api/events/ingest", {"events": [GOOD]})
        equal((reply.status, stranger.good("/api/events")["total"]), (200, 0), "not his")
        done = context.tool("marginctl", *remove.split()[1:], "--data-dir", server.dir)
        equal(done.returncode, 0, done.stderr)
        rows = session.get("/api/me/accounts").json["accounts"]
        equal([row["id"] for row in rows], [1], "and he is out of it")
        account(context, server, "third")
        said = admin(context, server, "me@example.com", "--account", "third")
        ensure("sign-up" not in said, said)


def test_only_a_sign_up_is_left(context):
    """Whom the operator takes out of his account is said to end up in a stranger's, if he does."""
    with context.server(arguments=OPEN) as server:
        signup(server, "me@example.com")
        admin(context, server, "me@example.com")
        admin(context, server, "you@example.com")
        account(context, server, "third")
        admin(context, server, "me@example.com", "--account", "third")

        def remove(email, of):
            done = context.tool("marginctl", "admin", "remove", email, "--account", of,
                                "--data-dir", server.dir)
            equal(done.returncode, 0, done.stderr)
            return done.stderr

        ensure("sign-up" not in remove("you@example.com", "1"), "nothing is left to you")
        ensure("sign-up" not in remove("me@example.com", "third"), "an account is left to me")
        said = remove("me@example.com", "1")
        ensure("all that is left to me@example.com is account 2 by sign-up" in said, said)
        ensure("marginctl admin remove me@example.com --account 2" in said, said)
        ensure("sign-up" not in remove("me@example.com", "2"), "and then nothing")


def plan_server(context, limit):
    """A server whose new accounts may send so many events a month."""
    server = context.server(arguments=OPEN + ("--account-plan", "small"))
    path = os.path.join(server.dir, "settings.ini")
    with open(path, "w", encoding="ascii") as file:
        file.write("[plan small]\nevent-ingest = %d\nprice-usd-month = 1.50\n"
                   "ai-insights = 0\n[plan free]\nevent-ingest = 77\n" % limit)
    server.arguments += ["--config", path]
    return server


def send(client, count, first=0):
    events = [dict(GOOD, idempotencyKey="k%d" % (first + i)) for i in range(count)]
    return client.send("POST", "/api/events/ingest", {"events": events})


def warnings(server):
    return [re.search(r"percent=(\d+)", line)[1] for line in server.log if "usage_warning " in line]


def test_plan(context):
    with plan_server(context, 40) as server:
        key = signup(server, "me@example.com", scopes=["billing.read", "events.write"])["key"]
        client = server.client(key)
        equal(send(client, 13).status, 200, "ingest")
        send(client, 3)  # duplicates are no events
        client.send("POST", "/api/events/ingest", {"events": [{}]})  # nor are invalid ones
        plan = client.good("/api/plan")
        month = datetime.datetime.utcnow()
        after = (month.replace(day=1) + datetime.timedelta(days=32)).strftime("%Y-%m")
        equal(plan["plan"], "small", "plan")
        rows = {row["feature_key"]: row for row in plan["features"]}
        equal(rows["event_ingest"],
              {"feature_key": "event_ingest", "limit": 40, "used": 13, "remaining": 27,
               "allowed": True, "reset": "monthly", "reset_at": after + "-01T00:00:00.000Z"},
              "event_ingest")
        equal((rows["csv_upload"]["limit"], rows["csv_upload"]["remaining"],
               rows["csv_upload"]["allowed"]), (None, None, True), "unlimited")
        equal((rows["ai_insights"]["limit"], rows["ai_insights"]["allowed"]), (0, False), "none")
        catalog = {row["plan"]: row for row in plan["catalog"]}
        equal(list(catalog), ["unlimited", "free", "pro", "team", "small"], "catalogue")
        equal(catalog["free"]["limits"]["event_ingest"], 77, "a shipped plan that was changed")
        equal(str(catalog["small"]["price_usd_month"]), "1.5", "price")
        usage = client.good("/api/usage")
        equal((usage["period"], usage["plan"]), (month.strftime("%Y-%m"), "small"), "usage")
        equal(usage["usage"]["event_ingest"], {"used": 13, "limit": 40, "reset": "monthly"},
              "usage")
        equal(usage["percent_used"], 100, "a limit of nothing is used up")
        limits = client.good("/api/usage/limits")
        equal((limits["configured"], limits["event_ingest"]),
              (True, {"allowed": True, "usage": {"used": 13, "limit": 40, "remaining": 27}}),
              "limits")
        done = context.tool("marginctl", "account", "plan", "free", "--account", "me@example.com",
                            "--data-dir", server.dir)
        equal(done.returncode, 0, done.stderr)
        equal(str(client.good("/api/usage")["percent_used"]), "16.9", "13 of 77, with one decimal")
        unlimited = server.client()
        equal(unlimited.good("/api/usage/limits")["configured"], False, "nothing is limited")
        equal(unlimited.good("/api/usage")["percent_used"], 0, "of nothing")


def test_event_limit(context):
    with plan_server(context, 10) as server:
        key = signup(server, "me@example.com",
                     scopes=["billing.read", "events.write", "events.read"])["key"]

        def used():
            return server.client(key).good("/api/usage/limits")["event_ingest"]

        client = server.client(key)
        equal(send(client, 7).json["accepted"], 7, "below")
        equal(warnings(server), [], "no warning yet")
        equal(send(client, 1, 7).json["accepted"], 1, "8 of 10")
        equal(send(client, 5, 8).json["accepted"], 5, "a batch that crosses the limit is taken")
        for _ in range(2):
            for path, body in (("/api/events/ingest", {"events": [GOOD]}), ("/events/ingest", {}),
                               ("/api/events/test", {"featureKey": "f"})):
                reply = client.send("POST", path, body)
                equal((reply.status, reply.json["code"], reply.json["usage"], reply.json["limit"],
                       reply.json["upgrade_url"]), (429, "event_limit", 13, 10, "/plans"), path)
            reply = client.send("POST", "/api/v1/client/events", {"eventName": "e"})
            equal((reply.status, reply.json["error"]["code"], reply.json["error"]["detail"]),
                  (429, "rate_limited", "event_limit"), "client endpoint")
        done = context.tool("marginctl", "ingest", "-", "--key", key, "--server",
                            "127.0.0.1:%d" % server.wire_port,
                            input='{"eventName":"e","customerReferenceId":"c","featureKey":"f"}\n')
        equal(done.returncode, 1, "binary socket")
        equal(client.good("/api/events")["total"], 13, "nothing was stored")
        equal(server.client().ingest([GOOD])["accepted"], 1, "other accounts go on")
        deadline = time.monotonic() + 10
        while len(warnings(server)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        equal(warnings(server), ["80", "100"], "a warning each")
        for hard in (True, False, True):
            server.restart(hard=hard)
            equal(used(), {"allowed": False, "usage": {"used": 13, "limit": 10, "remaining": 0}},
                  "after a restart")
            equal(send(server.client(key), 1, 99).status, 429, "after a restart")
        # More room, then the new limit; the warnings of this month were sent.
        done = context.tool("marginctl", "account", "plan", "free", "--account", "2", "--data-dir",
                            server.dir)
        equal(done.returncode, 0, done.stderr)
        client = server.client(key)
        equal(send(client, 64, 100).json["accepted"], 64, "13 + 64 are the 77 of free")
        equal(send(client, 1, 999).status, 429, "and no more")
        server.restart()
        equal(used()["usage"]["used"], 77, "from the snapshot and the log")
        equal(warnings(server), ["80", "100"], "not again")


def test_two_accounts(context):
    """Nobody sees or touches what is another account's."""
    with context.server(arguments=OPEN) as server:
        admin(context, server, "me@example.com")
        mine = server.client()
        theirs = server.client(signup(
            server, "you@example.com",
            scopes=["events.read", "events.write", "usage.read", "billing.read", "models.read",
                    "customers.read", "recommendations.read"])["key"])
        event = dict(GOOD, model="gpt-4o", inputTokens=10, agentId="agent", traceId="t",
                     idempotencyKey="same", customerReferenceId="mine", featureKey="mine")
        equal(mine.ingest([event])["accepted"], 1, "mine")
        reply = mine.send("POST", "/api/feature-pricing",
                          {"feature_key": "mine", "revenue_per_unit": 5})
        equal(reply.status, 200, "a price")
        number = mine.good("/api/events")["events"][0]["id"]
        equal(theirs.get("/api/events/%d" % number).status, 404, "one event")
        document = mine.get("/openapi.json", key=False).json
        for path, operations in document["paths"].items():
            public = path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs",
                              "/llms.txt", "/api/pricing/models")
            if "get" not in operations or public:
                continue
            path = path.replace("{id}", str(number)).replace("{traceId}", "t")
            path = re.sub(r"\{[^}]*\}", "mine", path)
            reply = theirs.get(path)
            ensure(reply.status in (200, 403, 404), "%s: %d" % (path, reply.status))
            ensure(b"mine" not in reply.body.replace(b'"no ', b""), "%s: %r" % (path, reply.body))
        equal(theirs.good("/api/events/trace/t")["spans"], [], "a trace")
        equal(theirs.ingest([event])["accepted"], 1, "a key is an account's own")
        equal(theirs.good("/api/events")["total"], 1, "theirs")
        equal(mine.good("/api/events")["total"], 1, "mine")
        equal(mine.ingest([event])["duplicates"], 1, "mine is known")
        for method, path in (("POST", "/api/sdk-keys/1/reset"), ("DELETE", "/api/sdk-keys/1")):
            equal(theirs.send(method, path).status, 404, path)
        equal([row["name"] for row in theirs.good("/api/sdk-keys")], ["default"], "keys")
        done = context.tool("marginctl", "admin", "passwd", "you@example.com", "--data-dir",
                            server.dir, input=PASSWORD + "\n")
        equal(done.returncode, 0, done.stderr)
        you = Session(server, "you@example.com")
        reply = you.send("POST", "/api/feature-pricing",
                         {"feature_key": "mine", "revenue_per_unit": 7})
        equal(reply.status, 200, "another price for a feature of the same name")
        for client, price in ((mine, 5), (theirs, 7)):
            equal(client.ingest([dict(event, idempotencyKey="next")])["accepted"], 1, "another one")
            newest = client.good("/api/events")["events"][0]
            equal(newest["revenue_amount"], price, "each its own price")
        ensure(theirs.good("/api/sdk-keys")[0]["id"] != 1, "not mine")
        server.verify()
        server.restart(hard=True)
        equal(server.client().good("/api/events")["total"], 2, "after a restart")


def test_secrets_stay_secret(context):
    with context.server(arguments=OPEN + ("--log-level", "debug")) as server:
        admin(context, server, "me@example.com")
        session = Session(server, "me@example.com")
        made = session.make_key(name="mine")
        login(server, "me@example.com", PASSWORD + "!", 401)
        client = server.client(made["key"])
        client.good("/api/events")
        client.send("POST", "/api/v1/client/events", {})
        session.send("POST", "/api/auth/logout")
        server.stop()
        kept = "".join(server.log).encode()
        for folder, _, names in os.walk(server.dir):
            for name in names:
                if name != "api-key":
                    with open(os.path.join(folder, name), "rb") as file:
                        kept += file.read()
        for what, text in (("key", made["key"]), ("token", session.token), ("password", PASSWORD)):
            ensure(text.encode() not in kept, "the %s is in the log or on disk" % what)
            ensure(text[15:].encode() not in kept, "half the %s is" % what)
        server.start()


@alone
def test_logins_are_bounded(context):
    """Many at once: each is answered, right or with a 503, and reading goes on beside them."""
    with context.server(arguments=OPEN + ("--limit-management", "0")) as server:
        admin(context, server, "me@example.com")
        done = []

        def one():
            reply = server.client().send("POST", "/api/auth/login",
                                         {"email": "me@example.com", "password": PASSWORD},
                                         key=False)
            done.append((reply.status, reply.headers["Retry-After"]))

        threads = [threading.Thread(target=one) for _ in range(40)]
        for thread in threads:
            thread.start()
        client, slowest = server.client(), 0
        while any(thread.is_alive() for thread in threads):
            begin = time.monotonic()
            client.good("/api/sdk-keys")
            slowest = max(slowest, time.monotonic() - begin)
        for thread in threads:
            thread.join()
        equal(len(done), 40, "all are answered")
        equal({status for status, _ in done}, {200, 503}, "in or full")
        ensure(all(wait == "1" for status, wait in done if status == 503), "Retry-After")
        ensure(sum(status == 200 for status, _ in done) >= 16, "as many as may wait got in")
        ensure(slowest < 1, "a reader thread is there for others: %.2f s" % slowest)
