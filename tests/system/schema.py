"""Checks answers against the description that the server itself gives (/openapi.json).

Of JSON Schema 2020-12 it knows the keywords that the schemas use; any other is an error, so that
nothing goes unchecked without being seen. Schemas are turned into functions once: answers with a
hundred thousand rows are checked, too.
"""

import json
import re
from decimal import Decimal

NOTES = {"description", "title", "default", "deprecated", "examples"}
BOUNDS = {"minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"}
KNOWN = NOTES | BOUNDS | {"type", "properties", "required", "additionalProperties", "items", "enum",
                          "const", "pattern", "oneOf", "anyOf", "$ref"}
# What the HTTP layer may say to any request, before an endpoint has it.
LAYER = {400, 405, 408, 413, 414, 415, 417, 431, 503}
CLIENT = "/api/v1/client/"


class Mismatch(Exception):
    """An answer is not what the description says, or the description is not sound."""


def is_number(value):
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)


TYPES = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": is_number,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
}


def say(place, text):
    raise Mismatch("%s: %s" % (place or "/", text))


def same(a, b):
    """Equality without Python's True == 1."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


class Compiler:
    """Turns the schemas of one description into functions check(value, place)."""

    def __init__(self, description):
        self.description = description
        self.by_ref = {}

    def resolve(self, ref):
        at = self.description
        if not ref.startswith("#/"):
            raise Mismatch("$ref %s is not in the document" % ref)
        for part in ref[2:].split("/"):
            if part not in at:
                raise Mismatch("$ref %s leads nowhere" % ref)
            at = at[part]
        return at

    def reference(self, ref):
        if ref not in self.by_ref:
            self.by_ref[ref] = None  # schemas may refer to themselves
            self.by_ref[ref] = self.compile(self.resolve(ref))
        return lambda value, place: self.by_ref[ref](value, place)

    def compile(self, schema):
        unknown = set(schema) - KNOWN
        if unknown:
            raise Mismatch("keywords that nothing checks: %s" % ", ".join(sorted(unknown)))
        checks = []
        if "$ref" in schema:
            checks.append(self.reference(schema["$ref"]))
        if "type" in schema:
            checks.append(check_type(schema["type"]))
        if "const" in schema:
            checks.append(check_enum([schema["const"]]))
        if "enum" in schema:
            checks.append(check_enum(schema["enum"]))
        if "pattern" in schema:
            checks.append(check_pattern(schema["pattern"]))
        if BOUNDS & set(schema):
            checks.append(check_bounds(schema))
        if {"properties", "required", "additionalProperties"} & set(schema):
            checks.append(self.object(schema))
        if "items" in schema:
            checks.append(self.array(schema["items"]))
        for word in ("oneOf", "anyOf"):
            if word in schema:
                checks.append(self.choice(schema[word], word == "oneOf"))
        if len(checks) == 1:
            return checks[0]

        def check(value, place):
            for one in checks:
                one(value, place)
        return check

    def object(self, schema):
        members = {name: self.compile(one) for name, one in schema.get("properties", {}).items()}
        required = schema.get("required", [])
        more = schema.get("additionalProperties", True)
        others = self.compile(more) if isinstance(more, dict) else None

        def check(value, place):
            if not isinstance(value, dict):
                return
            for name in required:
                if name not in value:
                    say(place, "%s is missing" % name)
            for name, one in value.items():
                known = members.get(name, others)
                if known is not None:
                    known(one, place + "/" + name)
                elif more is False:
                    say(place, "%s is not in the description" % name)
        return check

    def array(self, items):
        element = self.compile(items)

        def check(value, place):
            if isinstance(value, list):
                for index, one in enumerate(value):
                    element(one, "%s/%d" % (place, index))
        return check

    def choice(self, schemas, only_one):
        options = [self.compile(schema) for schema in schemas]

        def check(value, place):
            why = []
            for option in options:
                try:
                    option(value, place)
                except Mismatch as mismatch:
                    why.append(str(mismatch))
            fits = len(options) - len(why)
            if fits == 0 or (only_one and fits > 1):
                say(place, "fits %d of the choices (%s)" % (fits, "; ".join(why)))
        return check


def check_type(wanted):
    names = wanted if isinstance(wanted, list) else [wanted]
    tests = [TYPES[name] for name in names]

    def check(value, place):
        if not any(test(value) for test in tests):
            say(place, "%r is not %s" % (value, " or ".join(names)))
    return check


def check_enum(values):
    def check(value, place):
        if not any(same(value, one) for one in values):
            say(place, "%r is not one of %r" % (value, values))
    return check


def check_pattern(pattern):
    compiled = re.compile(pattern)

    def check(value, place):
        if isinstance(value, str) and not compiled.search(value):
            say(place, "%r does not match %s" % (value, pattern))
    return check


def check_bounds(schema):
    least, most = schema.get("minimum"), schema.get("maximum")

    def within(value, low, high):
        return (low is None or value >= low) and (high is None or value <= high)

    def check(value, place):
        good = True
        if is_number(value):
            good = within(value, least, most)
        elif isinstance(value, str):
            good = within(len(value), schema.get("minLength"), schema.get("maxLength"))
        elif isinstance(value, list):
            good = within(len(value), schema.get("minItems"), schema.get("maxItems"))
        if not good:
            say(place, "%r is out of bounds" % (value if is_number(value) else len(value)))
    return check


def unique(pairs):
    """For json.loads: a name twice in one object is never meant."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Mismatch("a name stands twice: %s" % [name for name, _ in pairs])
    return members


def parse(body):
    return json.loads(body, parse_float=Decimal, object_pairs_hook=unique)


class Description:
    """What /openapi.json says, ready to check answers."""

    def __init__(self, document):
        self.document = document
        self.compiler = Compiler(document)
        self.exact = {}
        self.patterns = []
        self.checks = {}
        for path, operations in document["paths"].items():
            if "{" in path:
                self.patterns.append((self.expression(path), path.count("/"), operations))
            self.exact[path] = operations
            for operation in operations.values():
                self.prepare(operation)

    @staticmethod
    def expression(path):
        parts = ["[^/]+" if part.startswith("{") else re.escape(part) for part in path.split("/")]
        return re.compile("/".join(parts))

    def prepare(self, operation):
        for status, response in operation["responses"].items():
            if "$ref" in response:
                response = self.compiler.resolve(response["$ref"])
            for kind, media in response.get("content", {}).items():
                check = self.compiler.compile(media["schema"])
                self.checks[operation["operationId"], int(status)] = (kind, check)

    def find(self, method, path):
        """The operation that serves a path with its "/api", or None. Earlier exact parts win."""
        verb = "get" if method == "HEAD" else method.lower()
        found = [self.exact[path]] if path in self.exact else []
        depth = path.count("/")
        fitting = [(pattern.pattern, operations) for pattern, parts, operations in self.patterns
                   if parts == depth and pattern.fullmatch(path)]
        fitting.sort(key=lambda one: [part == "[^/]+" for part in one[0].split("/")])
        found += [operations for _, operations in fitting]
        for operations in found:
            if verb in operations:
                return operations[verb]
        return None

    def operation(self, method, target):
        path = target.split("?")[0]
        path = path[:-1] if len(path) > 1 and path.endswith("/") else path
        return self.find(method, path) or (None if path.startswith("/api/")
                                           else self.find(method, "/api" + path))

    def check_query(self, operation, target):
        """A parameter that a test uses is described."""
        known = {self.compiler.resolve(one["$ref"])["name"] for one in operation["parameters"]}
        for part in target.partition("?")[2].split("&"):
            name = part.partition("=")[0]
            if name and name not in known:
                raise Mismatch("the parameter %s is not in the description" % name)

    def check_error(self, target, value):
        name = "client_error" if target.startswith(CLIENT) else "error"
        self.compiler.reference("#/components/schemas/" + name)(value, "")

    def check(self, method, target, status, content_type, body, odd=False):
        """Raises Mismatch. Returns what the body says if it is JSON, else None. `odd`: the query
        has what no endpoint wants."""
        operation = self.operation(method, target)
        kind, check = None, None
        if operation is not None:
            kind, check = self.checks.get((operation["operationId"], status), (None, None))
            if status < 300 and not odd:
                self.check_query(operation, target)
            if kind is None and status not in LAYER:
                raise Mismatch("status %d is not in the description" % status)
        elif status < 400:
            raise Mismatch("the path is not in the description")
        if method == "HEAD" or status == 204:
            return None
        if kind is None:
            kind, check = "application/json", lambda value, place: self.check_error(target, value)
        if content_type.split(";")[0] != kind:
            raise Mismatch("content type %s instead of %s" % (content_type, kind))
        if kind != "application/json":
            return None
        value = parse(body)
        check(value, "")
        return value
