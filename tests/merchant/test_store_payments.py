"""Payments and refunds: every step applies once, and to the state it starts from."""

from __future__ import annotations

import asyncio

import pytest

from acpref_merchant.store import Store, payments, refunds
from acpref_merchant.store.payments import AlreadyPaying, Payment


def _intend(store: Store, id: str = "pay_1", *, session: str = "cs_1", lease: int = 100) -> Payment:  # noqa: A002
    return store.run_sync(
        lambda tx: payments.intend(
            tx,
            id=id,
            session_id=session,
            agent_id="agent_a",
            amount=5000,
            currency="usd",
            token="spt_secret",
            provider="sandbox",
            lease_until=lease,
            idempotency_path=f"/checkout_sessions/{session}/complete",
            idempotency_key="k1",
            request='{"buyer":"Ada"}',
            now=10,
        )
    )


def _load(store: Store, id: str = "pay_1") -> Payment:  # noqa: A002
    payment = store.read_sync(lambda tx: payments.load(tx, id))
    assert payment is not None
    return payment


def _authorize(store: Store, *, captured: bool, id: str = "pay_1") -> bool:  # noqa: A002
    return store.run_sync(lambda tx: payments.record_authorized(tx, id, "pi_1", 20, captured=captured))


def test_an_intent_is_recorded_with_all_that_finishing_needs(store: Store) -> None:
    intended = _intend(store)
    assert intended == _load(store)
    assert intended == Payment(
        id="pay_1",
        session_id="cs_1",
        agent_id="agent_a",
        status="intended",
        amount=5000,
        currency="usd",
        token="spt_secret",
        provider="sandbox",
        provider_payment_id=None,
        lease_until=100,
        idempotency_path="/checkout_sessions/cs_1/complete",
        idempotency_key="k1",
        request='{"buyer":"Ada"}',
        failure_code=None,
        refunded_amount=0,
        created_at=10,
        updated_at=10,
    )


def test_neither_the_token_nor_the_buyer_is_in_a_printed_payment(store: Store) -> None:
    assert "spt_secret" not in repr(_intend(store))
    assert "Ada" not in repr(_load(store))


def test_a_session_has_one_living_payment(store: Store) -> None:
    _intend(store, "pay_1")
    with pytest.raises(AlreadyPaying):
        _intend(store, "pay_2")
    _authorize(store, captured=False)
    with pytest.raises(AlreadyPaying):
        _intend(store, "pay_2")
    store.run_sync(lambda tx: payments.record_captured(tx, "pay_1", 30))
    with pytest.raises(AlreadyPaying):
        _intend(store, "pay_2")
    _intend(store, "pay_3", session="cs_2")


def test_of_many_intents_at_once_one_is_recorded(store: Store) -> None:
    def intend(n: int) -> object:
        return lambda tx: payments.intend(
            tx,
            id=f"pay_{n}",
            session_id="cs_1",
            agent_id="a",
            amount=1,
            currency="usd",
            token="t",
            provider="sandbox",
            lease_until=1,
            idempotency_path="/",
            idempotency_key="k",
            request="{}",
            now=1,
        )

    async def scenario() -> list[object]:
        intents = (store.run(intend(n)) for n in range(20))  # type: ignore[arg-type]
        return await asyncio.gather(*intents, return_exceptions=True)

    outcomes = [type(outcome) for outcome in asyncio.run(scenario())]
    assert sorted(outcomes, key=str) == [AlreadyPaying] * 19 + [Payment]


@pytest.mark.parametrize("end", ["declined", "abandoned"])
def test_after_a_refusal_the_session_can_be_charged_again(store: Store, end: str) -> None:
    _intend(store, "pay_1")
    record = payments.record_declined if end == "declined" else payments.record_abandoned
    assert store.run_sync(lambda tx: record(tx, "pay_1", "card_declined", 20))
    again = _intend(store, "pay_2")
    assert store.read_sync(lambda tx: payments.alive(tx, "cs_1")) == again
    assert [p.status for p in store.read_sync(lambda tx: payments.of_session(tx, "cs_1"))] == [
        end,
        "intended",
    ]
    assert _load(store, "pay_1").failure_code == "card_declined"


def test_the_token_is_forgotten_as_soon_as_the_outcome_is_known(store: Store) -> None:
    _intend(store, "pay_1")
    _authorize(store, captured=True)
    _intend(store, "pay_2", session="cs_2")
    store.run_sync(lambda tx: payments.record_declined(tx, "pay_2", "expired", 20))
    for payment in (_load(store, "pay_1"), _load(store, "pay_2")):
        assert (payment.token, payment.lease_until) == (None, None)


def test_every_step_applies_to_the_state_it_starts_from_and_once(store: Store) -> None:
    _intend(store)
    assert not store.run_sync(lambda tx: payments.record_captured(tx, "pay_1", 20))
    assert _authorize(store, captured=False)
    assert not _authorize(store, captured=True)
    assert not store.run_sync(lambda tx: payments.record_declined(tx, "pay_1", "late", 20))
    assert store.run_sync(lambda tx: payments.record_captured(tx, "pay_1", 30))
    assert not store.run_sync(lambda tx: payments.record_captured(tx, "pay_1", 30))
    assert not store.run_sync(lambda tx: payments.record_voided(tx, "pay_1", 30))
    assert (_load(store).status, _load(store).provider_payment_id, _load(store).updated_at) == (
        "captured",
        "pi_1",
        30,
    )


def test_a_voided_payment_is_over(store: Store) -> None:
    _intend(store)
    _authorize(store, captured=False)
    assert store.run_sync(lambda tx: payments.record_voided(tx, "pay_1", 30))
    assert store.read_sync(lambda tx: payments.alive(tx, "cs_1")) is None


def test_lapsed_payments_are_taken_over_once(store: Store) -> None:
    for n, lease in enumerate([300, 100, 200, 5000]):
        _intend(store, f"pay_{n}", session=f"cs_{n}", lease=lease)

    def take(limit: int) -> list[str]:
        taken = store.run_sync(lambda tx: payments.take_over_lapsed(tx, 1000, 2000, limit))
        assert all(payment.lease_until == 2000 and payment.token == "spt_secret" for payment in taken)
        return sorted(payment.id for payment in taken)

    assert take(2) == ["pay_1", "pay_2"]  # the longest lapsed first
    assert take(2) == ["pay_0"]
    assert take(2) == []


def test_processes_that_recover_at_once_get_different_payments(store: Store) -> None:
    for n in range(30):
        _intend(store, f"pay_{n}", session=f"cs_{n}", lease=n)

    async def scenario() -> list[list[Payment]]:
        return await asyncio.gather(
            *(store.run(lambda tx: payments.take_over_lapsed(tx, 100, 200, 5)) for _ in range(12))
        )

    taken = [payment.id for batch in asyncio.run(scenario()) for payment in batch]
    assert len(taken) == len(set(taken))
    rest = store.run_sync(lambda tx: payments.take_over_lapsed(tx, 100, 200, 100))
    assert sorted(taken + [payment.id for payment in rest]) == sorted(f"pay_{n}" for n in range(30))


def test_a_lease_that_is_given_up_can_be_taken_at_once(store: Store) -> None:
    _intend(store, lease=5000)
    assert store.run_sync(lambda tx: payments.take_over_lapsed(tx, 1000, 9000, 5)) == []
    assert store.run_sync(lambda tx: payments.take_lease(tx, "pay_1", 1000, 9000)) is None
    store.run_sync(lambda tx: payments.give_up_lease(tx, "pay_1", 1000))
    assert [p.id for p in store.run_sync(lambda tx: payments.take_over_lapsed(tx, 1000, 9000, 5))] == [
        "pay_1"
    ]


def test_a_lease_of_an_authorized_payment_is_for_its_capture(store: Store) -> None:
    _intend(store)
    _authorize(store, captured=False)
    taken = store.run_sync(lambda tx: payments.take_lease(tx, "pay_1", 1000, 2000))
    assert taken is not None
    assert taken.lease_until == 2000
    assert store.run_sync(lambda tx: payments.take_over_lapsed(tx, 3000, 4000, 5)) == []
    assert store.run_sync(lambda tx: payments.take_over_lapsed(tx, 3000, 4000, 5, status="authorized")) != []
    store.run_sync(lambda tx: payments.record_captured(tx, "pay_1", 3000))
    store.run_sync(lambda tx: payments.give_up_lease(tx, "pay_1", 3000))
    assert _load(store).lease_until is None


def _refund(store: Store, id: str, amount: int) -> refunds.Refund | None:  # noqa: A002
    return store.run_sync(
        lambda tx: refunds.intend(
            tx, id=id, payment_id="pay_1", order_id="o_1", amount=amount, lease_until=100, data="{}", now=50
        )
    )


def test_refunds_never_exceed_what_was_captured(store: Store) -> None:
    _intend(store)
    assert _refund(store, "re_0", 1) is None  # nothing captured yet
    _authorize(store, captured=True)
    assert _refund(store, "re_1", 3000) is not None
    assert _refund(store, "re_2", 2001) is None
    assert _refund(store, "re_3", 2000) is not None
    assert _load(store).refunded_amount == 5000
    assert [refund.id for refund in store.read_sync(lambda tx: refunds.of_order(tx, "o_1"))] == [
        "re_1",
        "re_3",
    ]


def test_refunds_at_once_never_exceed_what_was_captured(store: Store) -> None:
    _intend(store)
    _authorize(store, captured=True)

    async def scenario() -> list[object]:
        return await asyncio.gather(
            *(
                store.run(
                    lambda tx, n=n: refunds.intend(  # type: ignore[misc]
                        tx,
                        id=f"re_{n}",
                        payment_id="pay_1",
                        order_id="o_1",
                        amount=1500,
                        lease_until=1,
                        data="{}",
                        now=1,
                    )
                )
                for n in range(10)
            )
        )

    assert sum(refund is not None for refund in asyncio.run(scenario())) == 3
    assert _load(store).refunded_amount == 4500


def test_a_refund_that_fails_can_be_made_again(store: Store) -> None:
    _intend(store)
    _authorize(store, captured=True)
    _refund(store, "re_1", 5000)
    assert store.run_sync(lambda tx: refunds.record_failed(tx, "re_1", "provider_refused", 60))
    assert not store.run_sync(lambda tx: refunds.record_failed(tx, "re_1", "provider_refused", 60))
    assert _load(store).refunded_amount == 0
    assert _refund(store, "re_2", 5000) is not None
    assert store.run_sync(lambda tx: refunds.record_completed(tx, "re_2", "r_9", 70))
    assert not store.run_sync(lambda tx: refunds.record_completed(tx, "re_2", "r_9", 70))
    done = store.read_sync(lambda tx: refunds.load(tx, "re_2"))
    assert done is not None
    assert (done.status, done.provider_refund_id, done.lease_until) == ("completed", "r_9", None)
    assert _load(store).refunded_amount == 5000


def test_lapsed_refunds_are_taken_over_once(store: Store) -> None:
    _intend(store)
    _authorize(store, captured=True)
    _refund(store, "re_1", 100)
    _refund(store, "re_2", 100)
    store.run_sync(lambda tx: refunds.record_completed(tx, "re_2", "r_2", 60))
    assert [r.id for r in store.run_sync(lambda tx: refunds.take_over_lapsed(tx, 100, 200, 5))] == ["re_1"]
    assert store.run_sync(lambda tx: refunds.take_over_lapsed(tx, 100, 200, 5)) == []
    store.run_sync(lambda tx: refunds.give_up_lease(tx, "re_1", 150))
    assert [r.id for r in store.run_sync(lambda tx: refunds.take_over_lapsed(tx, 150, 300, 5))] == ["re_1"]
