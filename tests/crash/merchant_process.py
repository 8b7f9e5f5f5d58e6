"""A merchant in a process of its own that ends without warning when it reaches a chosen step."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import uvicorn
from pydantic import SecretStr

from acpref_merchant.domain.shop import Shop
from acpref_merchant.http.app import create_app
from acpref_merchant.logs import log_to_stderr
from acpref_merchant.serve import open_merchant
from acpref_merchant.settings import AgentSettings, PaymentSettings, Settings


def main(config: dict[str, str]) -> None:
    settings = Settings(
        database_url=config["database_url"],
        catalog=Path(config["catalog"]),
        api_base_url=config["base_url"],
        agents=(
            AgentSettings(
                id="agent",
                token=SecretStr(config["agent_token"]),
                webhook_base_url=config["receiver_url"],
                webhook_secret=SecretStr(config["webhook_secret"]),
            ),
        ),
        payment=PaymentSettings(
            base_url=config["psp_url"], token=SecretStr(config["merchant_token"]), timeout_seconds=2.0
        ),
        completion_lease_seconds=3.0,
        webhook_timeout_seconds=2.0,
    )

    def on_step(step: str) -> None:
        if step == config.get("die_at"):
            os.kill(os.getpid(), signal.SIGKILL)

    def adapt(shop: Shop) -> Shop:
        return shop.model_copy(update={"merchant_id": config["merchant_id"]})

    log_to_stderr()
    app = create_app(lambda: open_merchant(settings, on_step=on_step, adapt_shop=adapt))
    uvicorn.run(app, fd=int(config["fd"]), access_log=False, log_level="warning", lifespan="on")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
