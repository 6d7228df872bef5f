"""What the API says of itself: OpenAPI 3.1 for programs, and a page for people."""

import html
import re
from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec

from twofold.serve.operations import OPERATIONS, Operation
from twofold.serve.wire import Problem

__all__ = ["describe", "page"]

REF = "#/components/schemas/{name}"


@cache
def describe() -> dict[str, Any]:
    """Return the description of the API in the form of OpenAPI 3.1."""
    types = {kind for operation in OPERATIONS for kind in (operation.asks, operation.answer) if kind} | {Problem}
    ordered = sorted(types, key=lambda kind: kind.__name__)
    schemas, parts = msgspec.json.schema_components(ordered, ref_template=REF)
    named = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, named, parts)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Twofold",
            "version": version("twofold"),
            "description": "Search and recommendation in one call, learning from what people do at once.",
        },
        "paths": paths,
        "components": {
            "schemas": parts,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _described(operation: Operation, named: dict[type, Any], parts: dict[str, Any]) -> dict[str, Any]:
    problem = {"description": "why not", "content": {"application/problem+json": {"schema": named[Problem]}}}
    about: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": {
            "200": {
                "description": "done",
                "content": {"application/json": {"schema": named[operation.answer]}},
            },
            "default": problem,
        },
    }
    if operation.role is not None:
        about["security"] = [{"key": []}]
        about["description"] = f"Takes a key of role `{operation.role}` or above, where the server has keys."
    if named_in := re.findall(r"{(\w+)}", operation.path):
        text = {"type": "string", "minLength": 1, "maxLength": 200}
        about["parameters"] = [{"name": name, "in": "path", "required": True, "schema": text} for name in named_in]
    if operation.asks is not None and operation.method == "GET":
        fields = parts[operation.asks.__name__]
        about["parameters"] = [
            {"name": name, "in": "query", "required": name in fields.get("required", ()), "schema": schema}
            for name, schema in fields["properties"].items()
        ]
    elif operation.asks is not None:
        content = {"application/json": {"schema": named[operation.asks]}}
        about["requestBody"] = {"required": True, "content": content}
    return about


STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}"
    "code{background:#f2f2f2;padding:.1em .3em}dt{margin-top:1.2em;font-weight:600}table{border-collapse:collapse}"
    "td{padding:.1em 1em .1em 0;vertical-align:top}"
    "@media(prefers-color-scheme:dark){body{background:#161616;color:#eee}code{background:#2a2a2a}}"
)


@cache
def page() -> str:
    """Return the description as a page of HTML that runs no script and loads nothing."""
    parts = describe()["components"]["schemas"]
    entries = "".join(_entry(operation, parts) for operation in OPERATIONS)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Twofold: the API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style><h1>Twofold: the API</h1>'
        '<p>For programs: <a href="/openapi.json">openapi.json</a>. Bodies are JSON; a request that cannot be answered '
        f"gets a problem (RFC 9457) whose <code>detail</code> says what to do.</p><dl>{entries}</dl></html>"
    )


def _entry(operation: Operation, parts: dict[str, Any]) -> str:
    role = f" Key of role <code>{operation.role}</code>." if operation.role else ""
    rows = ""
    if operation.asks is not None:
        about = parts[operation.asks.__name__]
        for name, schema in about["properties"].items():
            must = "needed" if name in about.get("required", ()) else f"else {html.escape(repr(schema.get('default')))}"
            rows += f"<tr><td><code>{html.escape(name)}</code><td>{must}"
    return (
        f"<dt><code>{operation.method} {html.escape(operation.path)}</code>"
        f"<dd>{html.escape(operation.summary)}{role}<table>{rows}</table>"
    )
