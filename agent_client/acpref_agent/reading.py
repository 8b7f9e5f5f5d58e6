"""Reading answers: strict about what matters, tolerant of what a newer or richer server may add.

The models are closed, because that is what this side sends. A server may send more: members that are
unknown here are dropped, values that are new to an enumeration are kept as they are (ORD-04, ERR-11), and
elements of a list that are of an unknown kind (a message, a fulfillment option, a capability) are left out,
as nobody could act on them (CAP-09). Everything else that is wrong, such as a missing member or an amount
that is no integer, is a ProtocolViolation.
"""

from __future__ import annotations

import copy
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from acpref_agent.exceptions import ProtocolViolation
from acpref_protocol import strict_json
from acpref_protocol.errors import ProtocolError, from_complaint, member_path

M = TypeVar("M", bound=BaseModel)
_Path = list[str | int]

# Complaints come in layers (kinds, then members, then rules across members); no document needs more rounds.
_ROUNDS = 5
_FIRST_EXPECTED = re.compile(r"'([^']*)'")


def parse(model: type[M], body: bytes) -> M:
    """The ``model`` in a JSON ``body``. Raises ProtocolViolation without repeating any value of the body."""
    try:
        document = strict_json.loads(body)
    except ProtocolError as error:
        raise ProtocolViolation(f"the answer is not strict JSON: {error.message}", complaint=error) from None
    return read(model, document)


def read(model: type[M], document: Any) -> M:
    """The ``model`` in a parsed ``document``, which is not changed."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        complaints = error
    document = copy.deepcopy(document)
    unknown_values: list[tuple[_Path, Any]] = []
    for _ in range(_ROUNDS):
        _make_way(complaints, document, unknown_values)
        try:
            value = model.model_validate(document)
        except ValidationError as error:
            complaints = error
        else:
            for path, original in unknown_values:
                holder = _follow(value, path[:-1])
                vars(holder)[str(path[-1])] = original
            return value
    raise _violation(complaints.errors(include_url=False)[0], document)


def _make_way(complaints: ValidationError, document: Any, unknown_values: list[tuple[_Path, Any]]) -> None:
    """Take what is merely unknown out of ``document``; raise when anything else is wrong with it."""
    found = [(details, member_path(details, document)) for details in complaints.errors(include_url=False)]
    elements = {tuple(path): path for details, path in found if _is_unknown_element(details, path, document)}
    if elements:
        if unknown_values:  # their paths would no longer hold
            raise _violation(found[0][0], document)
        for path in sorted(elements.values(), key=lambda path: path[-1], reverse=True):
            del _follow(document, path[:-1])[path[-1]]
        return
    for details, path in found:
        kind = details["type"]
        holder = _follow(document, path[:-1])
        if kind == "extra_forbidden":
            holder.pop(path[-1], None)
        elif kind == "literal_error" and isinstance(holder[path[-1]], str) and path:
            expected = _FIRST_EXPECTED.search(details["ctx"]["expected"])
            if expected is None:
                raise _violation(details, document)
            unknown_values.append((path, holder[path[-1]]))
            holder[path[-1]] = expected[1]
        else:
            raise _violation(details, document)


def _is_unknown_element(details: ErrorDetails, path: _Path, document: Any) -> bool:
    """Whether ``path`` leads to an element of a list, and what is wrong is only that its kind is unknown."""
    if (
        details["type"] not in {"union_tag_invalid", "literal_error"}
        or not path
        or not isinstance(path[-1], int)
    ):
        return False
    element = _follow(document, path)
    return isinstance(element, dict if details["type"] == "union_tag_invalid" else str)


def _follow(value: Any, path: _Path) -> Any:
    for part in path:
        value = getattr(value, str(part)) if isinstance(value, BaseModel) else value[part]
    return value


def _violation(complaint: ErrorDetails, document: Any) -> ProtocolViolation:
    error = from_complaint(complaint, document)
    return ProtocolViolation(f"the answer is not valid at {error.param}: {error.message}", complaint=error)
