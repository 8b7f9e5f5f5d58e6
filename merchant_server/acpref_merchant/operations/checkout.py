"""Create, read, update and cancel a checkout session: each one transaction."""

from __future__ import annotations

from collections.abc import Mapping

from acpref_merchant.agents import Agent
from acpref_merchant.domain import checkout
from acpref_merchant.domain.item import Item
from acpref_merchant.domain.session import Session
from acpref_merchant.operations.call import (
    Call,
    Merchant,
    Renderer,
    Reply,
    announce_redeemed,
    once,
    redeemed,
)
from acpref_merchant.store import items as item_rows
from acpref_merchant.store import orders, sessions
from acpref_merchant.store.store import Tx
from acpref_protocol.errors import not_found
from acpref_protocol.lifecycle import Status
from acpref_protocol.models import (
    CancelSessionRequest,
    CheckoutSession,
    CheckoutSessionCreateRequest,
    CheckoutSessionUpdateRequest,
    Order,
)


async def create(merchant: Merchant, call: Call, request: CheckoutSessionCreateRequest) -> Reply:
    """Open a session (CHK-CRE-01): 201 with the whole of it."""

    def act_in(tx: Tx) -> Reply:
        now = merchant.clock()

        def act() -> Reply:
            items = item_rows.load(tx, checkout.item_ids(request))
            session = checkout.open_session(
                request,
                session_id=merchant.new_id("cs"),
                line_ids=lambda: merchant.new_id("li"),
                agent_id=call.agent.id,
                shop=merchant.shop,
                items=items,
                now=now,
            )
            session, view = shown(session, _present(tx, merchant, session, items, now))
            sessions.insert(tx, session)
            return Reply(201, call.render.session(view))

        item_rows.announce(tx, checkout.item_ids(request))
        announce_redeemed(tx, merchant)
        return once(tx, merchant, call, now, act)

    return await merchant.store.run(act_in)


async def update(
    merchant: Merchant,
    call: Call,
    session_id: str,
    request: CheckoutSessionUpdateRequest,
    cleared: frozenset[str],
) -> Reply:
    """Change a session (CHK-UPD-01): 200 with the whole of it. ``cleared`` names the members sent as null."""

    def act_in(tx: Tx) -> Reply:
        now = merchant.clock()

        def act() -> Reply:
            stored = load(tx, session_id, call.agent, for_update=True)
            wanted = {line.item_id for line in stored.session.lines} | set(checkout.item_ids(request))
            announce_redeemed(tx, merchant)
            items = item_rows.load(tx, sorted(wanted))
            session = checkout.update_session(
                stored.session,
                request,
                cleared,
                line_ids=lambda: merchant.new_id("li"),
                shop=merchant.shop,
                items=items,
                now=now,
            )
            session, view = shown(session, _present(tx, merchant, session, items, now))
            sessions.save(tx, stored, session)
            return Reply(200, call.render.session(view))

        sessions.announce(tx, session_id)
        return once(tx, merchant, call, now, act)

    return await merchant.store.run(act_in)


async def cancel(
    merchant: Merchant, call: Call, session_id: str, request: CancelSessionRequest | None
) -> Reply:
    """Cancel a session (CHK-CAN-01): 200 with the whole of it, or 405 when it is past that (CHK-CAN-02)."""

    def act_in(tx: Tx) -> Reply:
        now = merchant.clock()

        def act() -> Reply:
            stored = load(tx, session_id, call.agent, for_update=True)
            announce_redeemed(tx, merchant)
            items = item_rows.load(tx, checkout.item_ids(stored.session))
            session = checkout.cancel_session(stored.session, now)
            if request is not None:
                session = session.model_copy(update={"intent_trace": request.intent_trace})
            view = _present(tx, merchant, session, items, now)
            session = session.model_copy(update={"frozen_view": checkout.freeze(view)})
            sessions.save(tx, stored, session)
            return Reply(200, call.render.session(view))

        sessions.announce(tx, session_id)
        return once(tx, merchant, call, now, act)

    return await merchant.store.run(act_in)


async def get(merchant: Merchant, agent: Agent, session_id: str, render: Renderer) -> bytes:
    """The session as it stands now (CHK-GET-01). Raises 404 for an unknown id or another agent's (CHK-GET-02).

    A total that differs from the one shown before is remembered, so that completion charges what was seen last.
    """

    def read(tx: Tx) -> tuple[CheckoutSession, bool]:
        now = merchant.clock()
        stored = load(tx, session_id, agent)
        if stored.session.status is Status.COMPLETED:
            session = with_order(tx, stored.session)
            return checkout.present(session, merchant.shop, {}, now), False
        announce_redeemed(tx, merchant)
        items = item_rows.load(tx, checkout.item_ids(stored.session))
        view = _present(tx, merchant, stored.session, items, now)
        session, _ = shown(stored.session, view)
        return view, session.shown_total != stored.session.shown_total

    view, changed = await merchant.store.read(read)
    if changed:
        view = await merchant.store.run(lambda tx: _show_again(tx, merchant, agent, session_id))
    return render.session(view)


def _show_again(tx: Tx, merchant: Merchant, agent: Agent, session_id: str) -> CheckoutSession:
    now = merchant.clock()
    stored = load(tx, session_id, agent, for_update=True)
    announce_redeemed(tx, merchant)
    items = item_rows.load(tx, checkout.item_ids(stored.session))
    session, view = shown(stored.session, _present(tx, merchant, stored.session, items, now))
    if session is not stored.session:
        sessions.save(tx, stored, session)
    return view


def _present(
    tx: Tx, merchant: Merchant, session: Session, items: Mapping[str, Item], now: int
) -> CheckoutSession:
    return checkout.present(session, merchant.shop, items, now, redeemed=redeemed(tx, merchant))


def with_order(tx: Tx, session: Session) -> Session:
    """``session`` with its order, if it has become one, as it stands now: not as on the day of the purchase."""
    row = orders.of_session(tx, session.id)
    return (
        session if row is None else session.model_copy(update={"order": Order.model_validate_json(row.data)})
    )


def load(tx: Tx, session_id: str, agent: Agent, *, for_update: bool = False) -> sessions.Stored:
    """The stored session. Another agent's session is not found either, so that ids cannot be probed."""
    stored = sessions.load(tx, session_id, agent_id=agent.id, for_update=for_update)
    if stored is None:
        raise not_found("checkout session")
    return stored


def shown(session: Session, view: CheckoutSession) -> tuple[Session, CheckoutSession]:
    """Remember the total that ``view`` shows: the only amount that completion may charge."""
    total = checkout.total_of(view)
    if session.shown_total != total:
        session = session.model_copy(update={"shown_total": total})
    return session, view
