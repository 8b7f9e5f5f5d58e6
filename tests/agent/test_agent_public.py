"""The public names of the SDK."""

from __future__ import annotations

import inspect
import types

import pytest

import acpref_agent
from acpref_agent import exceptions


def test_public_names_are_those_that_are_declared() -> None:
    public = {
        name
        for name, value in vars(acpref_agent).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType) and name != "annotations"
    }
    assert public == set(acpref_agent.__all__)
    assert sorted(acpref_agent.__all__) == acpref_agent.__all__


def test_every_public_name_is_documented() -> None:
    assert [name for name in acpref_agent.__all__ if not inspect.getdoc(getattr(acpref_agent, name))] == []


def test_both_clients_offer_the_same_operations() -> None:
    def operations(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(member).parameters)
            for name, member in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_") and name not in {"close", "aclose"}
        }

    assert operations(acpref_agent.Client) == operations(acpref_agent.AsyncClient)
    assert operations(acpref_agent.PaymentProviderClient) == operations(
        acpref_agent.AsyncPaymentProviderClient
    )


EXCEPTIONS = [
    value
    for _, value in inspect.getmembers(exceptions, inspect.isclass)
    if value.__module__ == exceptions.__name__
]


@pytest.mark.parametrize("kind", EXCEPTIONS, ids=lambda kind: kind.__name__)
def test_every_exception_is_public_part_of_the_tree_and_drawn_where_it_belongs(kind: type[Exception]) -> None:
    assert getattr(acpref_agent, kind.__name__) is kind
    assert issubclass(kind, exceptions.AcprefError)
    drawn: dict[str, int] = {}
    parents: list[str] = []
    for line in (exceptions.__doc__ or "").splitlines():
        text = line.lstrip(" │├└─")
        name, depth = text.split(" ")[0], (len(line) - len(text)) // 4
        if name.isidentifier() and getattr(exceptions, name, None) is not None:
            parents[depth:] = [name]
            drawn[name] = depth
            if name == kind.__name__ and depth:
                assert kind.__bases__[0].__name__ == parents[depth - 1]
    assert kind.__name__ in drawn
