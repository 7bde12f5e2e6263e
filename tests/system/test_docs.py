"""The server's description of itself, and the checks that every other test makes with it."""

import copy
import json

import schema
from harness import ensure, equal

GOOD = {"eventName": "chat", "customerReferenceId": "acme", "featureKey": "search"}


def closed(description, part, place, seen):
    """Objects of answers say whether they may have more members, so that drift is seen."""
    if "$ref" in part:
        if part["$ref"] not in seen:
            seen.add(part["$ref"])
            closed(description, schema.Compiler(description).resolve(part["$ref"]), part["$ref"],
                   seen)
        return
    if "properties" in part:
        ensure("additionalProperties" in part, "%s: no additionalProperties" % place)
    for name, one in part.get("properties", {}).items():
        closed(description, one, place + "/" + name, seen)
    inner = [part["items"]] if "items" in part else []
    for one in part.get("oneOf", []) + part.get("anyOf", []) + inner:
        closed(description, one, place, seen)


def test_openapi(context):
    with context.server() as server:
        client = server.client()
        document = client.get("/openapi.json", key=False).json
        equal(document["openapi"], "3.1.0", "version")
        seen, ids = set(), set()
        for path, operations in document["paths"].items():
            for verb, operation in operations.items():
                what = "%s %s" % (verb, path)
                ensure(operation["summary"] and len(operation["tags"]) == 1, what)
                ensure(operation["operationId"] not in ids, "%s: operationId" % what)
                ids.add(operation["operationId"])
                ensure(operation["x-rate-limit"] and operation["x-caller"], what)
                named = {schema.Compiler(document).resolve(one["$ref"])["name"]
                         for one in operation["parameters"]}
                for part in path.split("/"):
                    ensure(not part.startswith("{") or part[1:-1] in named, what)
                for status, response in operation["responses"].items():
                    if "$ref" in response:
                        response = schema.Compiler(document).resolve(response["$ref"])
                    ensure(response["description"], what)
                    for media in response["content"].values():
                        closed(document, media["schema"], "%s %s" % (what, status), seen)
        # Every path is served, under both names, and asks for a credential unless it is public.
        for path, operations in document["paths"].items():
            for verb, operation in operations.items():
                real = path.replace("{", "").replace("}", "")
                names = [real]
                if real.startswith("/api/") and not real.startswith("/api/v1/"):
                    names.append(real[4:])
                for name in names:
                    reply = client.send(verb.upper(), name, key=False)
                    if operation["security"]:
                        equal(reply.status, 401, "%s %s without a credential" % (verb, name))
                    else:
                        ensure(reply.status not in (401, 403, 405), "%s %s" % (verb, name))


def test_pages(context):
    with context.server() as server:
        client = server.client()
        page = client.get("/docs", key=False)
        equal((page.status, page.headers["Content-Type"]), (200, "text/html; charset=utf-8"),
              "docs")
        ensure("default-src 'none'" in page.headers["Content-Security-Policy"], "policy")
        text = page.body.decode()
        start = text.index('id="api">') + len('id="api">')
        inside = json.loads(text[start:text.index("</script>", start)])
        equal(inside, json.loads(client.get("/openapi.json", key=False).body), "in the page")
        ensure("://" not in text.replace("location.origin", ""), "the page needs no other host")
        plain = client.get("/llms.txt", key=False).body.decode()
        for path in inside["paths"]:
            ensure(path in plain, "%s in llms.txt" % path)


def test_examples(context):
    """What the documentation shows as a request is one, and is answered as it says."""
    tried = 0
    with context.server() as server:
        client = server.client()
        document = json.loads(client.get("/openapi.json", key=False).body)
        compiler = schema.Compiler(document)
        for path, operations in document["paths"].items():
            for verb, operation in operations.items():
                if "requestBody" not in operation:
                    continue
                body = operation["requestBody"]["content"]["application/json"]["schema"]
                for example in compiler.resolve(body["$ref"]).get("examples", []):
                    compiler.reference(body["$ref"])(schema.parse(json.dumps(example)), path)
                    if "{" in path or operation["x-caller"] != "any" or not operation["security"]:
                        continue
                    status = client.send(verb.upper(), path, example).status
                    ensure(200 <= status < 300, "%s %s with its example: %d" % (verb, path, status))
                    tried += 1
    ensure(tried >= 3, "examples: %d" % tried)


def refused(description, *arguments):
    try:
        description.check(*arguments)
    except schema.Mismatch:
        return True
    return False


def test_checks_can_fail(context):
    """Each answer below is wrong in one way only."""
    with context.server() as server:
        client = server.client()
        client.ingest([GOOD])
        good = client.get("/api/events?limit=1")
        described = client.description
        path, kind = "/api/events?limit=1", "application/json"
        described.check("GET", path, 200, kind, good.body)
        described.check("GET", "/events/?limit=1", 200, kind, good.body)
        described.check("GET", path + "&color=red", 200, kind, good.body, odd=True)
        ensure(refused(described, "GET", path + "&color=red", 200, kind, good.body), "parameter")
        event = json.loads(good.body)["events"][0]
        for name, value in (("id", "1"), ("id", True), ("id", 0), ("timestamp", "today"),
                            ("cost_source", "guess"), ("more", 1), ("is_inferred", 0),
                            ("usage_units", "3"), ("model", 3)):
            bad = json.loads(good.body)
            bad["events"][0][name] = value
            ensure(refused(described, "GET", path, 200, kind, json.dumps(bad)), "%s" % name)
        for name in event:
            if name not in ("request_body", "response_body"):
                bad = json.loads(good.body)
                del bad["events"][0][name]
                ensure(refused(described, "GET", path, 200, kind, json.dumps(bad)), name)
        error = b'{"error":"x","code":"not_found"}'
        described.check("GET", "/api/nothing", 404, kind, error)
        described.check("GET", path, 401, kind, error)
        for arguments in (("GET", path, 200, "text/plain", good.body),
                          ("GET", path, 201, kind, good.body),
                          ("GET", path, 409, kind, error),
                          ("GET", "/api/nothing", 200, kind, b"{}"),
                          ("GET", "/api/nothing", 404, kind, b'{"error":"x"}'),
                          ("GET", "/api/nothing", 404, kind, b'{"error":"x","code":"odd"}'),
                          ("GET", "/api/nothing", 404, kind, error[:-1] + b',"code":"internal"}'),
                          ("POST", "/api/v1/client/events", 400, kind, error)):
            ensure(refused(described, *arguments), repr(arguments[:4]))
        for name, value in (("format", "date"), ("allOf", []), ("$ref", "#/components/schemas/no")):
            document = copy.deepcopy(described.document)
            document["components"]["schemas"]["count"][name] = value
            try:
                schema.Description(document)
                ensure(False, "a schema with %s" % name)
            except schema.Mismatch:
                pass
