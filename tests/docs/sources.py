"""What the sources say about errors, messages and events, read from their syntax trees."""

from __future__ import annotations

import ast
import inspect
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.docs.pages import ROOT

from acpref_protocol import errors
from acpref_protocol.errors import ProtocolError
from acpref_psp import allowance, cards

PROTOCOL = ROOT / "protocol" / "acpref_protocol"
MERCHANT = ROOT / "merchant_server" / "acpref_merchant"
PROVIDER = ROOT / "merchant_server" / "acpref_psp"
AGENT = ROOT / "agent_client" / "acpref_agent"
SANDBOX = ROOT / "conformance" / "acpref_sandbox"

# Modules of the protocol package that refuse on behalf of any server that uses them.
_SHARED = ("headers", "versions", "strict_json", "signing")


class Emitted(NamedTuple):
    """An error as a client sees it."""

    status: int
    type: str
    code: str


@cache
def trees(folder: Path) -> dict[Path, ast.Module]:
    """Every module under ``folder``."""
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.py"))}


def constructors() -> dict[str, Emitted]:
    """The protocol's error constructors that stand for one error, each called once."""
    made = {}
    for name, function in inspect.getmembers(errors, inspect.isfunction):
        if name.startswith(("_", "from_")) or function.__module__ != errors.__name__:
            continue
        hints = typing.get_type_hints(function)
        if hints.get("return") is not ProtocolError or name == "invalid_request":
            continue
        arguments = [
            ["2026-04-17"]
            if "Sequence" in str(hints[parameter.name])
            else 1
            if hints[parameter.name] is int
            else "x"
            for parameter in inspect.signature(function).parameters.values()
            if parameter.default is parameter.empty
        ]
        error = function(*arguments)
        made[name] = Emitted(error.status, error.type, error.code)
    return made


def emitted(folder: Path) -> set[Emitted]:
    """Every error that the package in ``folder`` raises by itself, and those of the shared modules that it imports."""
    found: set[Emitted] = set()
    for path, tree in trees(folder).items():
        found |= _raised_in(tree, path)
    for module in _SHARED:
        if any(_imports(tree, module) for tree in trees(folder).values()):
            path = PROTOCOL / f"{module}.py"
            found |= raised(path)
    if any(_imports(tree, "from_validation") for tree in trees(folder).values()):
        path = PROTOCOL / "errors.py"
        functions = [
            n
            for n in trees(PROTOCOL)[path].body
            if isinstance(n, ast.FunctionDef) and n.name == "from_complaint"
        ]
        found |= _raised_in(ast.Module([*functions], []), path)
    return found


def _imports(tree: ast.Module, name: str) -> bool:
    return any(
        isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("acpref_protocol")
        and (name in {alias.name for alias in node.names} or (node.module or "").endswith(f".{name}"))
        for node in ast.walk(tree)
    )


def raised(path: Path) -> set[Emitted]:
    """Every error that the module in ``path`` raises by itself."""
    return _raised_in(ast.parse(path.read_text(encoding="utf-8")), path)


def _raised_in(tree: ast.Module, path: Path) -> set[Emitted]:
    known = constructors()
    found: set[Emitted] = set()
    for function, call in _calls(tree):
        name = _name(call)
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        if name == "invalid_request":
            status = _constant(keywords.get("status"), 400)
            for code in _codes(keywords.get("code"), "invalid", function, tree, path):
                found.add(Emitted(int(status), "invalid_request", code))
        elif name == "ProtocolError":
            status = _constant(call.args[0], None)
            if status is None:  # passed on from the framework, with a status that is not ours to name
                continue
            kind = str(_constant(call.args[1], None))
            for code in _codes(call.args[2], None, function, tree, path):
                found.add(Emitted(int(status), kind, code))
        elif name == "rate_limited" and "code" in keywords:
            found.add(
                Emitted(429, str(_constant(keywords["type"], None)), str(_constant(keywords["code"], None)))
            )
        elif name in known:
            found.add(known[name])
        elif name == "SignatureError":
            found.add(known["invalid_signature"])
    if path == PROVIDER / "app.py":  # a table of statuses in words
        found |= {
            Emitted(404, "invalid_request", "not_found"),
            Emitted(405, "invalid_request", "method_not_allowed"),
        }
    return found


def _codes(
    value: ast.expr | None, default: str | None, function: ast.AST | None, tree: ast.Module, path: Path
) -> list[str]:
    """The codes that an argument stands for: a literal, or what the callers of this function pass."""
    if value is None:
        assert default is not None
        return [default]
    if isinstance(value, ast.Constant):
        return [str(value.value)]
    assert isinstance(value, ast.Name), f"{path}:{value.lineno}: a code that tests cannot follow"
    if not isinstance(function, ast.FunctionDef) or value.id not in (
        names := [a.arg for a in function.args.args]
    ):
        assert path == PROVIDER / "app.py", f"{path}:{value.lineno}: a code that tests cannot follow"
        return []
    position = names.index(value.id)
    codes: list[str] = []
    for _, call in _calls(tree):
        if _name(call) != function.name:
            continue
        if isinstance(call.args[0], ast.Starred):  # what allowance.violation returned
            codes += violations()
            continue
        given = call.args[position]
        assert isinstance(given, ast.Constant), f"{path}:{call.lineno}: a code that tests cannot follow"
        codes.append(str(given.value))
    return codes


def violations() -> list[str]:
    """The codes with which a token's bounds are told."""
    tree = ast.parse(inspect.getsource(allowance.violation))
    return [
        str(node.value.elts[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Return)
        and isinstance(node.value, ast.Tuple)
        and isinstance(node.value.elts[0], ast.Constant)
    ]


def declines() -> set[str]:
    """The codes with which the sandbox's issuer declines."""
    return {
        outcome.code
        for outcome in cards.TEST_CARDS.values()
        if outcome.code and outcome.code != "processing_error"
    }


def order_error_codes() -> set[str]:
    """The codes of the operator's commands."""
    found: set[str] = set()
    for path, tree in trees(MERCHANT).items():
        for _, call in _calls(tree):
            if _name(call) == "OrderError":
                found |= _order_codes(call.args[0])
            elif _name(call) == "_wanted" and path.name == "order_changes.py":
                found |= {str(_constant(argument, "")) for argument in call.args[3:5]}
    return found


def _order_codes(code: ast.expr) -> set[str]:
    if isinstance(code, ast.Constant):
        return {str(code.value)}
    if isinstance(code, ast.JoinedStr):  # f"{what}_refused", where what is capture or void
        return {"capture_refused", "void_refused"}
    return set()  # a parameter: its callers are looked at


def message_codes() -> set[tuple[str, str]]:
    """Kind and code of every message that the merchant puts into a session, but for those of discounts."""
    tree = trees(MERCHANT)[MERCHANT / "domain" / "messages.py"]
    kinds = {"_error": "error", "_warning": "warning"}
    return {
        (kinds[_name(call)], str(call.args[0].value))
        for _, call in _calls(tree)
        if _name(call) in kinds and isinstance(call.args[0], ast.Constant)
    }


def rejections() -> set[str]:
    """The reasons for which the merchant rejects a discount code."""
    tree = trees(MERCHANT)[MERCHANT / "domain" / "discounts.py"]
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith("discount_code_")
    }


def events_used() -> set[str]:
    """The names of the life cycle's events that the merchant lets happen."""
    return {
        node.attr
        for tree in trees(MERCHANT).values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Event"
    }


def _calls(tree: ast.AST) -> Iterator[tuple[ast.AST | None, ast.Call]]:
    """Every call with the function that it stands in."""
    waiting: list[tuple[ast.AST | None, ast.AST]] = [(None, tree)]
    while waiting:
        function, node = waiting.pop()
        inner = node if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else function
        if isinstance(node, ast.Call):
            yield function, node
        waiting += [(inner, child) for child in ast.iter_child_nodes(node)]


def _name(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _constant(node: ast.expr | None, default: typing.Any) -> typing.Any:
    return node.value if isinstance(node, ast.Constant) else default
