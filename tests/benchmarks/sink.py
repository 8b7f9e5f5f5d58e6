"""A webhook receiver that takes every event and counts it: the cheapest listener that a merchant could have."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

app = FastAPI(openapi_url=None)
received = 0


@app.get("/received")
async def count() -> dict[str, int]:
    """How many events have come."""
    return {"received": received}


@app.post("/{path:path}")
async def take(path: str, request: Request) -> Response:
    """Read an event and accept it."""
    global received
    await request.body()
    received += 1
    return Response(b"{}", media_type="application/json")
