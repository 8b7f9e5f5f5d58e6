"""The checkout session's life cycle as a table."""

from __future__ import annotations

import pytest

from acpref_protocol.lifecycle import OPEN, TERMINAL, TRANSITIONS, Event, IllegalTransition, Status, advance


def test_there_are_exactly_the_eleven_statuses_of_the_specification() -> None:
    """CHK-STA-06."""
    assert {status.value for status in Status} == {
        "incomplete",
        "not_ready_for_payment",
        "requires_escalation",
        "authentication_required",
        "ready_for_payment",
        "pending_approval",
        "complete_in_progress",
        "completed",
        "canceled",
        "in_progress",
        "expired",
    }


@pytest.mark.parametrize("status", sorted(TERMINAL))
@pytest.mark.parametrize("event", sorted(Event))
def test_nothing_leaves_a_final_status(status: Status, event: Event) -> None:
    """CHK-UPD-06, CHK-CAN-02, CHK-CMP-07."""
    with pytest.raises(IllegalTransition) as refusal:
        advance(status, event)
    assert (refusal.value.status, refusal.value.event) == (status, event)


@pytest.mark.parametrize("status", sorted(set(Status) - TERMINAL - {Status.COMPLETE_IN_PROGRESS}))
def test_every_session_that_is_not_final_can_be_canceled_and_can_expire_unless_money_is_moving(
    status: Status,
) -> None:
    """CHK-CAN-01, CHK-STA-08."""
    assert advance(status, Event.CANCELED) is Status.CANCELED
    assert advance(status, Event.EXPIRED) is Status.EXPIRED


def test_while_money_is_moving_only_the_outcome_changes_the_session() -> None:
    events = {event for status, event in TRANSITIONS if status is Status.COMPLETE_IN_PROGRESS}
    assert events == {
        Event.COMPLETED,
        Event.PAYMENT_DECLINED,
        Event.AUTHENTICATION_REQUESTED,
        Event.APPROVAL_REQUESTED,
    }


def test_a_declined_payment_leaves_the_session_payable() -> None:
    """CHK-CMP-06."""
    paying = advance(Status.READY_FOR_PAYMENT, Event.COMPLETION_STARTED)
    declined = advance(paying, Event.PAYMENT_DECLINED)
    assert declined is Status.READY_FOR_PAYMENT
    again = advance(declined, Event.COMPLETION_STARTED)
    assert advance(again, Event.COMPLETED) is Status.COMPLETED


@pytest.mark.parametrize(
    "status", sorted(set(Status) - {Status.READY_FOR_PAYMENT, Status.AUTHENTICATION_REQUIRED})
)
def test_a_session_that_is_not_ready_cannot_start_to_complete(status: Status) -> None:
    """CHK-CMP-05."""
    with pytest.raises(IllegalTransition):
        advance(status, Event.COMPLETION_STARTED)


def test_an_authenticated_or_approved_purchase_goes_on_to_completion() -> None:
    """CHK-CMP-08."""
    waiting = advance(Status.COMPLETE_IN_PROGRESS, Event.AUTHENTICATION_REQUESTED)
    pending = advance(advance(waiting, Event.COMPLETION_STARTED), Event.APPROVAL_REQUESTED)
    assert pending is Status.PENDING_APPROVAL
    assert advance(pending, Event.COMPLETED) is Status.COMPLETED
    assert advance(pending, Event.APPROVAL_REFUSED) is Status.READY_FOR_PAYMENT


def test_every_status_is_reachable_from_a_new_session_and_every_other_can_end() -> None:
    def reachable(start: Status) -> set[Status]:
        found, waiting = {start}, [start]
        while waiting:
            here = waiting.pop()
            for (status, _), after in TRANSITIONS.items():
                if status is here and after not in found:
                    found.add(after)
                    waiting.append(after)
        return found

    assert reachable(Status.INCOMPLETE) == set(Status)
    for status in set(Status) - TERMINAL:
        assert Status.COMPLETED in reachable(status)
    assert not OPEN & TERMINAL
