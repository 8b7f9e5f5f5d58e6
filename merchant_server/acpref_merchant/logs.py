"""Logging of the server processes: one JSON object a line on standard error, times in UTC, no bodies and no headers."""

from __future__ import annotations

import sys

import structlog


def log_to_stderr() -> None:
    """Configure logging for this process."""
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
    )
