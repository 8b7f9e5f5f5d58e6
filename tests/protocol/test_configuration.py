"""Problems of a configuration are said in a line each, which begins with the place to repair."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from acpref_protocol.configuration import problems, unknown_variables


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    seconds: Annotated[float, Field(gt=0, le=60)] = 1
    token: str = "a good one"

    @field_validator("token")
    @classmethod
    def _good(cls, token: str) -> str:
        if "good" not in token:
            raise ValueError("a token is good")
        return token


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    port: Annotated[int, Field(ge=0, le=65535)] = 0
    mode: Literal["on", "off"] = "on"
    loud: bool = False
    name: Annotated[str, Field(pattern="^[a-z]+$")] = "a"
    inner: Inner = Inner()
    several: tuple[Inner, ...] = ()
    needed: str


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"port": "x"}, "X_PORT: must be a whole number, not 'x'"),
        ({"port": 1.5}, "X_PORT: must be a whole number"),
        ({"port": 70000}, "X_PORT: must be at most 65535"),
        ({"port": -1}, "X_PORT: must be at least 0"),
        ({"mode": "maybe"}, "X_MODE: must be 'on' or 'off', not 'maybe'"),
        ({"loud": "perhaps"}, "X_LOUD: must be true or false, not 'perhaps'"),
        ({"name": "A"}, "X_NAME: must match ^[a-z]+$"),
        ({"inner": {"seconds": 0}}, "X_INNER__SECONDS: must be more than 0"),
        ({"inner": []}, "X_INNER: must be a table of names and values"),
        ({"several": 3}, "X_SEVERAL: must be a list"),
        ({"inner": {"secs": 1}}, "X_INNER__SECS: is not a setting"),
        ({"needed": 3}, "X_NEEDED: must be text"),
        ({"needed": None}, "X_NEEDED: must be text"),
    ],
)
def test_what_is_wrong_is_said_in_our_own_words(content: dict[str, object], line: str) -> None:
    assert lines({"needed": "x", **content}) == [line]


def test_each_problem_has_a_line_that_names_where_the_value_came_from() -> None:
    content = {
        "port": "a",
        "mode": "b",
        "loud": "c",
        "inner": {"token": "hush"},
        "several": [{}, {"token": "hush"}],
    }
    assert lines(
        content,
        environment={"x_mode": "b", "X_SEVERAL": "[...]"},
        file=Path("shop.toml"),
        options={"port": "--port"},
    ) == [
        "--port: must be a whole number, not 'a'",
        "X_MODE: must be 'on' or 'off', not 'b'",
        "shop.toml, loud: must be true or false, not 'c'",
        "shop.toml, inner.token: a token is good",
        "X_SEVERAL[2].token: a token is good",
        "shop.toml, needed: is missing",
    ]


def test_variables_that_set_nothing_are_named_with_what_was_meant() -> None:
    names = ["X_MODE", "x_port", "X_MODES", "X_INNER__SECONDS", "X_MODE__Y", "X_OTHER", "HOME"]
    assert unknown_variables(names, prefix="X_", known=["mode", "port", "inner"], tables=["inner"]) == [
        "X_MODES is not a setting and has no effect; did you mean X_MODE?",
        "X_MODE__Y is not a setting and has no effect",
        "X_OTHER is not a setting and has no effect",
    ]


def lines(
    content: dict[str, object],
    environment: dict[str, str] | None = None,
    file: Path | None = None,
    options: dict[str, str] | None = None,
) -> list[str]:
    with pytest.raises(ValidationError) as wrong:
        Outer.model_validate(content)
    return problems(wrong.value, prefix="X_", environment=environment or {}, file=file, options=options)
