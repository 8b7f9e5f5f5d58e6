"""The sandbox payment provider: vault, delegated payment tokens, and charges against their allowance."""
