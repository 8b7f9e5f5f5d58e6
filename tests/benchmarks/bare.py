"""The yardstick: FastAPI that returns a static body of 2 KB and does nothing else."""

from __future__ import annotations

from fastapi import FastAPI, Response

BODY = b'{"padding":"' + b"x" * (2048 - 14) + b'"}'

app = FastAPI(openapi_url=None)


@app.get("/")
async def static() -> Response:
    """The same bytes for everybody."""
    return Response(BODY, media_type="application/json")
