"""The payment provider port and its adapters."""
