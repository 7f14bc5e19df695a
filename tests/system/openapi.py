"""A small validator: is an answer what the OpenAPI document says? As much of JSON Schema as the document
uses; what it does not know is an error, so that no rule is passed over."""

import re

KNOWN = {"type", "properties", "required", "additionalProperties", "items", "enum", "const",
         "pattern", "minimum", "maximum", "anyOf", "$ref", "description", "format"}
TYPES = {"string": str, "boolean": bool, "object": dict, "array": list, "null": type(None)}


class Mismatch(AssertionError):
    pass


def is_type(value, name):
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


class Contract:
    def __init__(self, document):
        self.document = document
        self.seen = set()  # (method, path pattern, status)
        self.patterns = []
        for path, operations in document["paths"].items():
            pattern = re.compile("^" + re.sub(r"\{\w+\}", "[^/]+", path) + "$")
            self.patterns.append((path.count("{"), pattern, path, operations))
        self.patterns.sort(key=lambda entry: entry[0])  # a fixed path before one with an {id}

    def operations(self, end):
        """What `end` (hub or upstream) serves."""
        for path, operations in self.document["paths"].items():
            for method, operation in operations.items():
                if operation.get("x-served-by", end) == end:
                    yield method.upper(), path, operation

    def find(self, method, target):
        path = target.split("?")[0]
        for _, pattern, name, operations in self.patterns:
            if pattern.match(path) and method.lower() in operations:
                return name, operations[method.lower()]
        return None, None

    def check(self, method, target, answer):
        """An answer to a call that the document knows."""
        path, operation = self.find(method, target)
        if operation is None:
            return
        status = str(answer.status)
        if status not in operation["responses"]:
            raise Mismatch("%s %s: status %s is not in the document: %r" % (
                method, path, status, answer))
        self.seen.add((method, path, status))
        content = operation["responses"][status].get("content", {})
        kind = (answer.headers.get("Content-Type") or "").split(";")[0]
        if not content:
            return
        if kind not in content:
            raise Mismatch("%s %s: %s is not in the document" % (method, path, kind))
        if kind == "application/json":
            self.validate(answer.body, content[kind]["schema"], "%s %s" % (method, path))

    def check_request(self, method, target, body):
        """A request that was accepted must be one that the document allows."""
        _, operation = self.find(method, target)
        if operation and body is not None and "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            self.validate(body, schema, "body of %s %s" % (method, target))

    def validate(self, value, schema, where):
        unknown = set(schema) - KNOWN
        if unknown:
            raise Mismatch("%s: the validator does not know %s" % (where, unknown))
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[1]
            self.validate(value, self.document["components"]["schemas"][name], where)
            return
        if "anyOf" in schema:
            self.validate_any(value, schema["anyOf"], where)
            return
        types = schema.get("type", [])
        types = [types] if isinstance(types, str) else types
        if types and not any(is_type(value, name) for name in types):
            raise Mismatch("%s: %r is not %s" % (where, value, types))
        if "enum" in schema and value not in schema["enum"]:
            raise Mismatch("%s: %r is none of %s" % (where, value, schema["enum"]))
        if "const" in schema and value != schema["const"]:
            raise Mismatch("%s: %r is not %r" % (where, value, schema["const"]))
        if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
            raise Mismatch("%s: %r is not like %s" % (where, value, schema["pattern"]))
        if is_type(value, "number"):
            if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
                raise Mismatch("%s: %r is out of range" % (where, value))
        if isinstance(value, dict):
            self.validate_object(value, schema, where)
        if isinstance(value, list) and "items" in schema:
            for index, one in enumerate(value):
                self.validate(one, schema["items"], "%s[%d]" % (where, index))

    def validate_any(self, value, schemas, where):
        reasons = []
        for one in schemas:
            try:
                self.validate(value, one, where)
                return
            except Mismatch as error:
                reasons.append(str(error))
        raise Mismatch("; ".join(reasons))

    def validate_object(self, value, schema, where):
        properties = schema.get("properties", {})
        missing = set(schema.get("required", [])) - set(value)
        if missing:
            raise Mismatch("%s: %s missing" % (where, sorted(missing)))
        for name, one in value.items():
            if name in properties:
                self.validate(one, properties[name], where + "." + name)
            elif schema.get("additionalProperties", True) is False:
                raise Mismatch("%s: `%s` is not in the document" % (where, name))
