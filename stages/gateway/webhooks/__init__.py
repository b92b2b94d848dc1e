"""Webhooks: a signed HTTPS POST to a tenant's endpoints when a render ends, by the specification Standard Webhooks."""
