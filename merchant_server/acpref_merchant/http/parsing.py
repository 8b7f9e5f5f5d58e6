"""Bodies into models, with errors that name the place."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from acpref_protocol.errors import from_validation

M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], body: Any) -> M:
    """``body`` as ``model``. Raises the first complaint as a flat 400 with its JSONPath (ERR-04, ERR-06)."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise from_validation(error, body) from None
