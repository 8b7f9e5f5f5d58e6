"""The sandbox payment provider: vault, delegate payment, allowance enforcement, charges. Its own service and database.

Layers, in dependency order: ``cards`` and ``allowance`` decide (pure); ``keys`` seals; ``tables`` and ``store`` keep;
``delegation`` and ``charges`` are the operations, each one transaction; ``edge`` and ``app`` speak HTTP.
It is a sandbox: no card network stands behind it, and outcomes follow from test card numbers.
"""
