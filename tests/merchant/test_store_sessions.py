"""Sessions: versions keep concurrent changes apart."""

from __future__ import annotations

import asyncio

import pytest

from acpref_merchant.domain.session import Line, Session
from acpref_merchant.store import ConstraintViolation, Store, Tx, sessions
from acpref_merchant.store.sessions import StaleVersion
from acpref_protocol.lifecycle import Status


def _session(quantity: int = 1) -> Session:
    return Session(
        id="cs_1",
        agent_id="agent_a",
        status=Status.INCOMPLETE,
        currency="usd",
        lines=(Line(id="li_1", item_id="sku_1", quantity=quantity),),
        created_at=1000,
        updated_at=1000,
        expires_at=2000,
    )


def _insert(tx: Tx) -> None:
    sessions.insert(tx, _session())


def test_a_session_comes_back_as_it_was_stored(store: Store) -> None:
    store.run_sync(_insert)
    stored = store.read_sync(lambda tx: sessions.load(tx, "cs_1"))
    assert stored == sessions.Stored(_session(), 1)
    assert store.read_sync(lambda tx: sessions.load(tx, "cs_1", agent_id="agent_a")) == stored


@pytest.mark.parametrize("id", ["cs_2", "", "cs_1\x00", "\udcff", "é" * 10_000])
def test_what_does_not_exist_is_not_found(store: Store, id: str) -> None:  # noqa: A002
    store.run_sync(_insert)
    assert store.read_sync(lambda tx: sessions.load(tx, id)) is None


def test_another_agents_session_is_not_found(store: Store) -> None:
    store.run_sync(_insert)
    assert store.read_sync(lambda tx: sessions.load(tx, "cs_1", agent_id="agent_b")) is None


def test_an_id_is_taken_once(store: Store) -> None:
    store.run_sync(_insert)
    with pytest.raises(ConstraintViolation):
        store.run_sync(_insert)


def test_saving_over_another_version_changes_nothing(store: Store) -> None:
    store.run_sync(_insert)
    first = sessions.Stored(_session(), 1)
    second = store.run_sync(lambda tx: sessions.save(tx, first, _session(2)))
    assert second == sessions.Stored(_session(2), 2)
    with pytest.raises(StaleVersion):
        store.run_sync(lambda tx: sessions.save(tx, first, _session(3)))
    assert store.read_sync(lambda tx: sessions.load(tx, "cs_1")) == second


def test_what_was_agreed_on_is_kept_and_given_up_again(store: Store) -> None:
    store.run_sync(_insert)
    agreed = _session().model_copy(update={"frozen_view": '{"status": "ready"}'})
    stored = sessions.Stored(_session(), 1)
    for session in (agreed, agreed.model_copy(update={"shown_total": 5}), _session()):
        stored = store.run_sync(lambda tx: sessions.save(tx, stored, session))  # noqa: B023 - run at once
        assert stored.session == session
        assert store.read_sync(lambda tx: sessions.load(tx, "cs_1")) == stored


def test_concurrent_changes_of_a_session_loaded_for_update_are_all_applied(store: Store) -> None:
    store.run_sync(_insert)

    def add_one(tx: Tx) -> None:
        stored = sessions.load(tx, "cs_1", for_update=True)
        assert stored is not None
        sessions.save(tx, stored, _session(stored.session.lines[0].quantity + 1))

    async def scenario() -> None:
        await asyncio.gather(*(store.run(add_one) for _ in range(30)))

    asyncio.run(scenario())
    assert store.read_sync(lambda tx: sessions.load(tx, "cs_1")) == sessions.Stored(_session(31), 31)
