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
    session = _session()
    sessions.insert(
        tx,
        id=session.id,
        agent_id=session.agent_id,
        status=session.status,
        data=session.model_dump_json(exclude_none=True),
        created_at=session.created_at,
        expires_at=session.expires_at,
    )


def _save(tx: Tx, session: Session, expected_version: int) -> int:
    return sessions.save(
        tx,
        session.id,
        status=session.status,
        data=session.model_dump_json(exclude_none=True),
        updated_at=1500,
        expires_at=session.expires_at,
        expected_version=expected_version,
    )


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
    assert store.run_sync(lambda tx: _save(tx, _session(2), 1)) == 2
    with pytest.raises(StaleVersion):
        store.run_sync(lambda tx: _save(tx, _session(3), 1))
    assert store.read_sync(lambda tx: sessions.load(tx, "cs_1")) == sessions.Stored(_session(2), 2)


def test_concurrent_changes_of_a_session_loaded_for_update_are_all_applied(store: Store) -> None:
    store.run_sync(_insert)

    def add_one(tx: Tx) -> None:
        stored = sessions.load(tx, "cs_1", for_update=True)
        assert stored is not None
        _save(tx, _session(stored.session.lines[0].quantity + 1), stored.version)

    async def scenario() -> None:
        await asyncio.gather(*(store.run(add_one) for _ in range(30)))

    asyncio.run(scenario())
    assert store.read_sync(lambda tx: sessions.load(tx, "cs_1")) == sessions.Stored(_session(31), 31)
