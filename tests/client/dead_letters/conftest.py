from tests.client.conftest import client, deployment, services

__all__ = ["client", "deployment", "services"]
