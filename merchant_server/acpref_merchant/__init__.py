"""The merchant server: catalog, checkout, payments, orders and webhooks for one merchant."""
