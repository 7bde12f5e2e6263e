"""Every route with every kind of credential: a walk over the server's own list of routes, against
the table of the Observe API (1.2) as it stands here."""

import re

from harness import ensure, equal
from test_accounts import OPEN, WRONG_KEY, Session, admin

SCOPES = ["proxy.chat", "usage.read", "usage.write", "events.read", "events.write",
          "customers.read", "customers.write", "billing.read", "billing.write",
          "recommendations.read", "models.read", "alerts.read", "alerts.write", "admin"]

# The first row that matches says the scope. "public": no credential; "any": any good one;
# "session": no key.
TABLE = [
    (r"(GET) /(healthz|readyz|metrics|openapi\.json|docs|llms\.txt)", "public"),
    (r"(POST) /api/(signup|auth/login)", "public"),
    (r"(GET) /api/auth/me", "public"),
    (r"(GET) /api/pricing/models", "public"),
    (r"(POST) /api/auth/logout", "session"),
    (r"(GET) /api/me/accounts", "session"),
    (r"(POST) /api/sdk-keys", "session"),
    (r"(GET) /api/sdk-keys/me", "any"),
    (r"(GET|POST|DELETE) /api/sdk-keys.*", "events.write"),
    (r"(POST) /api/events/(ingest|test)|(POST) /api/v1/client/events", "events.write"),
    (r"(GET) /api/events.*", "events.read"),
    (r"(GET) /api/(plan|usage|usage/limits)", "billing.read"),
    (r"(PUT|DELETE) /api/pricing/.*", "admin"),
    (r"(GET) /api/pricing/log", "models.read"),
    (r"(GET) /api/models.*", "models.read"),
    (r"(POST) /api/analytics/suggest-pricing", "usage.write"),
    (r"(GET) /api/(features|analytics|simulations|feature-pricing|feature-definitions|metrics)\b.*",
     "usage.read"),
    (r"(POST|PUT|PATCH|DELETE) /api/(simulations|feature-pricing|feature-definitions)\b.*",
     "usage.write"),
    (r"(GET) /api/(customers|subscriptions|plans|cohorts)\b.*", "customers.read"),
    (r"(DELETE) /api/data/clear.*", "session"),
    (r"(GET) /api/data/status", "customers.read"),
    (r"(POST|PUT|PATCH|DELETE) /api/(customers|cohorts|data)\b.*", "customers.write"),
    (r"(POST) /api/backfill/revenue", "usage.write"),
    (r"(GET) /api/settings", "any"),
    (r"(PATCH) /api/settings", "admin"),
]


def wanted_scope(method, path):
    for pattern, scope in TABLE:
        if re.fullmatch(pattern, "%s %s" % (method, path)):
            return scope
    ensure(False, "no row of the table says who may %s %s" % (method, path))


def routes(client):
    """Method, path as described, path to send, body."""
    document = client.get("/openapi.json", key=False).json
    found = []
    for path, operations in document["paths"].items():
        real = path.replace("{id}", "999999")
        real = re.sub(r"\{[^}]*\}", "nothing", real)
        for verb in operations:
            found.append((verb.upper(), path, real))
    return found


def outcome(status):
    return {401: "unknown", 403: "forbidden"}.get(status, "let in")


def ask(client, method, path, **headers):
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    body = None if method == "GET" else "[]"
    return client.send(method, path, body, headers=fields, key=False).status


def names(path):
    """A management path has two."""
    return [path, path[4:]] if path.startswith("/api/") and path[:8] != "/api/v1/" else [path]


def test_keys(context):
    arguments = OPEN + ("--limit-management", "0", "--signup", "on")
    with context.server(arguments=arguments) as server:
        admin(context, server, "me@example.com")
        session = Session(server, "me@example.com")
        keys = {scope: session.make_key(name=scope, scopes=[scope])["key"] for scope in SCOPES}
        keys["unrestricted"] = server.key
        client = server.client()
        for method, path, real in routes(client):
            scope = wanted_scope(method, path)
            for name in names(real):
                what = "%s %s" % (method, name)
                nobody = "let in" if scope == "public" else "unknown"
                equal(outcome(ask(client, method, name)), nobody, "%s by nobody" % what)
                for have, key in keys.items():
                    good = scope in ("public", "any", have) or have in ("admin", "unrestricted")
                    good = good and scope != "session"
                    equal(outcome(ask(client, method, name, Observe_Key=key)),
                          "let in" if good else "forbidden", "%s with %s" % (what, have))
                bad = outcome(ask(client, method, name, Observe_Key=WRONG_KEY))
                # What is public may still look at who asks, and says so if that is nobody.
                ensure(bad == "unknown" or (scope == "public" and bad == "let in"),
                       "%s with a wrong key: %s" % (what, bad))


def test_roles(context):
    with context.server(arguments=OPEN + ("--limit-management", "0")) as server:
        for role in ("owner", "admin", "viewer"):
            admin(context, server, role + "@example.com", "--role", role)
        client = server.client()
        everything = routes(client)
        for role in ("owner", "admin", "viewer"):
            session = Session(server, role + "@example.com")
            for method, path, real in everything:
                scope = wanted_scope(method, path)
                if path == "/api/auth/login":
                    continue  # who logs in needs no session
                may = method == "GET" or scope == "public" or role != "viewer"
                if path == "/api/auth/logout":
                    may = True
                if path.startswith("/api/v1/client/"):
                    may = False
                for name in names(real):
                    if path == "/api/auth/logout":
                        session = Session(server, role + "@example.com")
                    ways = {"bearer": {"Authorization": "Bearer " + session.token},
                            "cookie": {"Cookie": "margin_session=" + session.token}}
                    if path.startswith("/api/v1/client/") or path == "/api/auth/logout":
                        del ways["cookie"]
                    for way, headers in ways.items():
                        equal(outcome(ask(client, method, name, **headers)),
                              "let in" if may else "forbidden",
                              "%s %s as %s by %s" % (method, name, role, way))
                if path == "/api/auth/logout":
                    session = Session(server, role + "@example.com")
