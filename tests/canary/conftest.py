"""The scenario is played once, and everything that came out is kept for the tests to look through."""

from __future__ import annotations

import pytest

from tests.canary.azure_trouble import plant_azure
from tests.canary.chat_trouble import plant_approvals, plant_bad_urls, plant_chat
from tests.canary.databricks_trouble import plant_databricks
from tests.canary.devops_trouble import plant_devops
from tests.canary.http_trouble import plant_http, plant_notify
from tests.canary.looking import Findings
from tests.canary.mlflow_trouble import plant_mlflow
from tests.canary.planting import Planting, new_system, plant_credentials, plant_sources
from tests.canary.scenario import Drive
from tests.senders.mlflow_server import MlflowServer

SOWN = (
    plant_credentials,
    plant_sources,
    plant_chat,
    plant_bad_urls,
    plant_approvals,
    plant_devops,
    plant_azure,
    plant_databricks,
    plant_http,
    plant_notify,
)


@pytest.hookimpl(trylast=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """Keep this folder's tests in one process, that of the tests with a real MLflow server."""
    item.own_markers[:] = [mark for mark in item.own_markers if mark.name != "xdist_group"]
    item.add_marker(pytest.mark.xdist_group("mlflow"))
    item.add_marker(pytest.mark.timeout(300))  # the scenario is played within the first test's time


@pytest.fixture(scope="session")
def findings(mlflow_servers: list[MlflowServer], tmp_path_factory: pytest.TempPathFactory) -> Findings:
    server = mlflow_servers[0]
    server.begin()
    with new_system() as system:
        planting = Planting(system)
        for plant in SOWN:
            plant(planting)
        plant_mlflow(planting, server)
        return Drive(planting, tmp_path_factory.mktemp("canary"), server).run()
