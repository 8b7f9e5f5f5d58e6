"""The life of a checkout session as a table (CHK-STA-06).

The specification names eleven statuses and no transitions; this table is the rule chosen here.

- *Open* sessions can still be changed by the agent: ``incomplete`` (the buyer has something left to say),
  ``not_ready_for_payment`` (something else is in the way), ``ready_for_payment``, ``requires_escalation``
  (the merchant has to step in) and ``in_progress`` (the merchant is working on it). What is shown follows
  from the session's content, so any open status may follow any other.
- Completing starts only from ``ready_for_payment`` or ``authentication_required``. While the money moves,
  the session is ``complete_in_progress``: it can be neither changed, nor canceled, nor expire, because the
  outcome of a charge has to be known before anything else is decided.
- A declined payment leaves the session payable (CHK-CMP-06).
- ``completed``, ``canceled`` and ``expired`` are final.
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """The statuses of a checkout session (CHK-STA-06)."""

    INCOMPLETE = "incomplete"
    NOT_READY_FOR_PAYMENT = "not_ready_for_payment"
    REQUIRES_ESCALATION = "requires_escalation"
    AUTHENTICATION_REQUIRED = "authentication_required"
    READY_FOR_PAYMENT = "ready_for_payment"
    PENDING_APPROVAL = "pending_approval"
    COMPLETE_IN_PROGRESS = "complete_in_progress"
    COMPLETED = "completed"
    CANCELED = "canceled"
    IN_PROGRESS = "in_progress"
    EXPIRED = "expired"


class Event(StrEnum):
    """What can happen to a session. ``shown_*`` events say what its content amounts to after a look at it."""

    SHOWN_INCOMPLETE = "shown_incomplete"
    SHOWN_NOT_READY = "shown_not_ready"
    SHOWN_READY = "shown_ready"
    SHOWN_IN_PROGRESS = "shown_in_progress"
    ESCALATED = "escalated"
    COMPLETION_STARTED = "completion_started"
    AUTHENTICATION_REQUESTED = "authentication_requested"
    PAYMENT_DECLINED = "payment_declined"
    APPROVAL_REQUESTED = "approval_requested"
    APPROVAL_REFUSED = "approval_refused"
    COMPLETED = "completed"
    CANCELED = "canceled"
    EXPIRED = "expired"


OPEN: frozenset[Status] = frozenset(
    {
        Status.INCOMPLETE,
        Status.NOT_READY_FOR_PAYMENT,
        Status.READY_FOR_PAYMENT,
        Status.REQUIRES_ESCALATION,
        Status.IN_PROGRESS,
        Status.AUTHENTICATION_REQUIRED,
    }
)
"""Statuses in which the agent may update the session."""

TERMINAL: frozenset[Status] = frozenset({Status.COMPLETED, Status.CANCELED, Status.EXPIRED})
"""Statuses that nothing leaves (CHK-UPD-06, CHK-CAN-02)."""

_SHOWN: dict[Event, Status] = {
    Event.SHOWN_INCOMPLETE: Status.INCOMPLETE,
    Event.SHOWN_NOT_READY: Status.NOT_READY_FOR_PAYMENT,
    Event.SHOWN_READY: Status.READY_FOR_PAYMENT,
    Event.SHOWN_IN_PROGRESS: Status.IN_PROGRESS,
    Event.ESCALATED: Status.REQUIRES_ESCALATION,
    Event.CANCELED: Status.CANCELED,
    Event.EXPIRED: Status.EXPIRED,
}

TRANSITIONS: dict[tuple[Status, Event], Status] = {
    **{(status, event): after for status in OPEN for event, after in _SHOWN.items()},
    (Status.READY_FOR_PAYMENT, Event.COMPLETION_STARTED): Status.COMPLETE_IN_PROGRESS,
    (Status.AUTHENTICATION_REQUIRED, Event.COMPLETION_STARTED): Status.COMPLETE_IN_PROGRESS,
    (Status.COMPLETE_IN_PROGRESS, Event.COMPLETED): Status.COMPLETED,
    (Status.COMPLETE_IN_PROGRESS, Event.PAYMENT_DECLINED): Status.READY_FOR_PAYMENT,
    (Status.COMPLETE_IN_PROGRESS, Event.AUTHENTICATION_REQUESTED): Status.AUTHENTICATION_REQUIRED,
    (Status.READY_FOR_PAYMENT, Event.AUTHENTICATION_REQUESTED): Status.AUTHENTICATION_REQUIRED,
    (Status.COMPLETE_IN_PROGRESS, Event.APPROVAL_REQUESTED): Status.PENDING_APPROVAL,
    (Status.PENDING_APPROVAL, Event.COMPLETED): Status.COMPLETED,
    (Status.PENDING_APPROVAL, Event.APPROVAL_REFUSED): Status.READY_FOR_PAYMENT,
    (Status.PENDING_APPROVAL, Event.CANCELED): Status.CANCELED,
    (Status.PENDING_APPROVAL, Event.EXPIRED): Status.EXPIRED,
}
"""Every permitted step; a pair that is not a key is not permitted."""


class IllegalTransition(Exception):  # noqa: N818 - the name says what it is
    """``event`` cannot happen to a session in ``status``."""

    def __init__(self, status: Status, event: Event) -> None:
        super().__init__(f"{event.value} cannot happen to a session that is {status.value}")
        self.status = status
        self.event = event


def advance(status: Status, event: Event) -> Status:
    """The status that follows ``event`` in ``status``.

    Raises IllegalTransition for any pair not in the table.
    """
    try:
        return TRANSITIONS[status, event]
    except KeyError:
        raise IllegalTransition(status, event) from None
