"""Holds requests and answers against the vendors' OpenAPI documents, which lie beside the checkout or nowhere.

    spec = Spec.load("confluence-cloud")  # the name of a document without .json; skips the test if it is not there
    spec.check_request("POST", "/wiki/rest/api/content/7/label", {}, [{"prefix": "global", "name": "x"}])
    spec.check_response("POST", "/wiki/rest/api/content/7/label", 200, {"results": [], "size": 0})

Both raise :class:`BreachError` (an AssertionError) that says what is wrong and where. What a document does not know is
a breach too: a path, a method, a query parameter, a status. None of the documents describes 429s and 5xx:
ask `spec.describes(...)` where a server may answer so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import pytest

__all__ = ["BreachError", "Spec"]

_FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "specs"
_FORMATS = jsonschema.FormatChecker(formats=())

Query = Mapping[str, str] | Iterable[tuple[str, str]]


class BreachError(AssertionError):
    """A request or an answer that the vendor's document does not allow."""


@dataclass(frozen=True)
class Spec:
    """One vendor's document: its operations by path and method, schemas as JSON Schema knows them."""

    paths: dict[str, dict[str, Any]]

    @classmethod
    def load(cls, name: str) -> Spec:
        """The document `../shared/specs/NAME.json`; skips the test where the folder is not there."""
        if not _FOLDER.is_dir():
            pytest.skip("the vendors' documents (specs) are not at ../shared/specs")
        return cls(_allow_null(json.loads((_FOLDER / f"{name}.json").read_text("utf-8"))["paths"]))

    def check_request(self, method: str, path: str, query: Query = (), body: Any = None) -> None:
        """`query` may name a parameter several times; `body` is the parsed JSON, None for no body."""
        where = f"{method} {path}"
        template, values = self._find(method, path)
        operation = self.paths[template][method.lower()]
        known = {(each["in"], each["name"]): each for each in operation.get("parameters", ())}
        for name, value in values.items():
            if parameter := known.get(("path", name)):
                _validate(_read(value, parameter["schema"]), parameter["schema"], f"{where}: {name}")
        asked = _group(query)
        for name, texts in asked.items():
            if ("query", name) not in known:
                raise BreachError(f"{where}: the document knows no query parameter {name!r}")
            schema = known["query", name]["schema"]
            _validate(_read(",".join(texts), schema), schema, f"{where}: {name}")
        wanted = {name for (place, name), each in known.items() if place == "query" and each.get("required")}
        if missing := wanted - set(asked):
            raise BreachError(f"{where}: lacks the query parameters {sorted(missing)}")
        _check_body(operation.get("requestBody"), body, where)

    def check_response(self, method: str, path: str, status: int, body: Any = None) -> None:
        """`body` is the parsed JSON; a status for which the document has no schema may have any."""
        template, _ = self._find(method, path)
        response = _response(self.paths[template][method.lower()], status)
        if response is None:
            raise BreachError(f"{method} {path}: the document knows no answer {status}")
        if schema := _schema(response):
            _validate(body, schema, f"{method} {path}: {status}")

    def describes(self, method: str, path: str, status: int) -> bool:
        """Whether the document has that answer at all."""
        template, _ = self._find(method, path)
        return _response(self.paths[template][method.lower()], status) is not None

    def _find(self, method: str, path: str) -> tuple[str, dict[str, str]]:
        """The template of a path that has the method, and the values of its parameters; plain paths first."""
        for template in sorted(self.paths, key=lambda template: template.count("{")):
            pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template))
            if method.lower() in self.paths[template] and (found := re.fullmatch(pattern, path)):
                return template, {name: unquote(value) for name, value in found.groupdict().items()}
        raise BreachError(f"the document knows no {method} {path}")


@_FORMATS.checks("date-time", raises=ValueError)
def _is_instant(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def _allow_null(node: Any) -> Any:
    """OpenAPI 3.0's `nullable` in the words of JSON Schema."""
    if isinstance(node, list):
        return [_allow_null(each) for each in node]
    if not isinstance(node, dict):
        return node
    schema = {name: _allow_null(value) for name, value in node.items()}
    if schema.get("nullable") is True and isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
        if isinstance(schema.get("enum"), list):
            schema["enum"] = [*schema["enum"], None]
    return schema


def _group(query: Query) -> dict[str, list[str]]:
    asked: dict[str, list[str]] = {}
    for name, value in query.items() if isinstance(query, Mapping) else query:
        asked.setdefault(name, []).append(value)
    return asked


def _read(text: str, schema: dict[str, Any]) -> Any:
    """A parameter's text as the value that the schema speaks of; what cannot be read stays text, and will not fit."""
    kind = schema.get("type")
    if kind == "array":
        return [_read(part, schema.get("items", {})) for part in text.split(",")]
    if kind == "integer" and re.fullmatch(r"-?\d+", text):
        return int(text)
    return {"true": True, "false": False}.get(text, text) if kind == "boolean" else text


def _response(operation: dict[str, Any], status: int) -> dict[str, Any] | None:
    responses: dict[str, Any] = operation["responses"]
    names = (str(status), f"{status // 100}XX", "default")
    return next((responses[name] for name in names if name in responses), None)


def _schema(holder: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = holder.get("content", {}).get("application/json", {}).get("schema", {})
    return schema


def _check_body(stated: dict[str, Any] | None, body: Any, where: str) -> None:
    if stated is None:
        if body is not None:
            raise BreachError(f"{where}: the document knows no body")
    elif body is not None:
        _validate(body, _schema(stated), f"{where}: body")
    elif stated.get("required"):
        raise BreachError(f"{where}: lacks a body")


def _validate(value: Any, schema: dict[str, Any], where: str) -> None:
    validator = jsonschema.Draft202012Validator(schema, format_checker=_FORMATS)
    if (error := jsonschema.exceptions.best_match(validator.iter_errors(value))) is not None:
        raise BreachError(f"{where}: {error.json_path}: {error.message[:300]}")
