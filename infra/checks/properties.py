"""Compares each property of the templates with the models of Microsoft's management SDKs, which are made from the API's
own description: python -m infra.checks.properties. Exit status 1 if a name is unknown.

Where an SDK has the template's API version, it is that one that is asked; else the nearest that it has (action groups,
storage, vault, web, role assignments, Application Insights and diagnostic settings are exact): MODELS says which.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from typing import Any

from tree_sitter import Node

from infra.checks.bicep import TEMPLATES, properties_of, resources

OF_BICEP = {"parent", "name", "scope", "dependsOn", "location", "tags"}
OPEN = {"DashboardPartMetadata"}  # each kind of part has inputs of its own
MODELS = {
    "Microsoft.Authorization/roleAssignments": "authorization.v2022_04_01:RoleAssignmentCreateParameters",
    "Microsoft.Authorization/roleDefinitions": "authorization.v2022_04_01:RoleDefinition",
    "Microsoft.Insights/actionGroups": "monitor.v2023_01_01:ActionGroupResource",
    "Microsoft.Insights/components": "applicationinsights.v2020_02_02:ApplicationInsightsComponent",
    "Microsoft.Insights/diagnosticSettings": "monitor.v2021_05_01_preview:DiagnosticSettingsResource",
    "Microsoft.Insights/scheduledQueryRules": "monitor.v2022_08_01_preview:ScheduledQueryRuleResource",
    "Microsoft.Insights/workbooks": "applicationinsights.v2023_06_01:Workbook",
    "Microsoft.KeyVault/vaults": "keyvault.v2024_11_01:VaultCreateOrUpdateParameters",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "msi.v2024_11_30:Identity",
    "Microsoft.Network/natGateways": "network:NatGateway",
    "Microsoft.Network/networkSecurityGroups": "network:NetworkSecurityGroup",
    "Microsoft.Network/privateDnsZones": "privatedns:PrivateZone",
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": "privatedns:VirtualNetworkLink",
    "Microsoft.Network/privateEndpoints": "network:PrivateEndpoint",
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": "network:PrivateDnsZoneGroup",
    "Microsoft.Network/publicIPAddresses": "network:PublicIPAddress",
    "Microsoft.Network/virtualNetworks": "network:VirtualNetwork",
    "Microsoft.OperationalInsights/workspaces": "loganalytics:Workspace",
    "Microsoft.Portal/dashboards": "portal:Dashboard",
    "Microsoft.Storage/storageAccounts": "storage.v2024_01_01:StorageAccountCreateParameters",
    "Microsoft.Storage/storageAccounts/blobServices": "storage.v2024_01_01:BlobServiceProperties",
    "Microsoft.Storage/storageAccounts/blobServices/containers": "storage.v2024_01_01:BlobContainer",
    "Microsoft.Storage/storageAccounts/queueServices": "storage.v2024_01_01:QueueServiceProperties",
    "Microsoft.Storage/storageAccounts/queueServices/queues": "storage.v2024_01_01:StorageQueue",
    "Microsoft.Storage/storageAccounts/tableServices": "storage.v2024_01_01:TableServiceProperties",
    "Microsoft.Storage/storageAccounts/tableServices/tables": "storage.v2024_01_01:Table",
    "Microsoft.Web/serverfarms": "web.v2024_04_01:AppServicePlan",
    "Microsoft.Web/sites": "web.v2024_04_01:Site",
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": "web.v2024_04_01:CsmPublishingCredentialsPoliciesEntity",
}


def main() -> int:
    """Print what is unknown; return the exit status."""
    checked, wrong = 0, []
    for template in TEMPLATES:
        for resource in resources(template):
            if resource.is_existing:
                continue
            checked += 1
            fields = _fields(resource.type)
            place = f"{template.name}: {resource.symbol}"
            wrong += [f"{place}: {found}" for found in _unknown(resource.body, fields, resource.type, top=True)]
    print("\n".join([*wrong, f"{checked} resources, {len(wrong)} unknown properties"]))  # noqa: T201
    return 1 if wrong or not checked else 0


def _fields(kind: str) -> Fields:
    package, _, model = MODELS[kind].partition(":")
    return Fields(importlib.import_module(f"azure.mgmt.{package}.models"), model)


class Fields:
    """The properties that a model of an SDK has on the wire, `names`, with the name of each one's type."""

    def __init__(self, module: Any, model: str) -> None:
        self._module = module
        self.names: dict[str, Any] = {}
        found = getattr(module, model)
        if hasattr(found, "_attribute_map"):  # the older generation of SDKs
            for entry in found._attribute_map.values():
                self._add(entry["key"].replace("\\.", "\0").split("."), entry["type"])
        else:
            self._add_of_classes(found)
        if not self.names:
            raise LookupError(f"{model} has no properties: is it a model?")

    def below(self, name: str) -> Any:
        """Return what stands below a property: Fields, a dictionary of names, or None where anything goes."""
        kind = self.names[name]
        return kind if isinstance(kind, dict) else self._of_type(kind)

    def _add(self, path: list[str], kind: str) -> None:
        names = self.names
        for part in path[:-1]:
            names = names.setdefault(part, {})
        names[path[-1].replace("\0", ".")] = self._of_type(kind) if len(path) > 1 else kind

    def _add_of_classes(self, found: Any) -> None:
        for base in found.__mro__:
            for attribute, field in vars(base).items():
                if type(field).__name__ == "_RestField":
                    self.names[field._rest_name_input or attribute] = str(base.__annotations__.get(attribute, ""))

    def _of_type(self, kind: str) -> Fields | None:
        if kind.startswith("{") or re.search(r"\b[Dd]ict\[", kind):
            return None
        word = re.search(r"_models\.(\w+)", kind) or re.search(r"^\[?(\w+)\]?$", kind)
        name = word[1] if word else ""
        is_closed = _is_model(getattr(self._module, name, None)) and name not in OPEN
        return Fields(self._module, name) if is_closed else None


def _is_model(found: Any) -> bool:
    return isinstance(found, type) and (
        hasattr(found, "_attribute_map") or "Model" in {b.__name__ for b in found.__mro__}
    )


def _unknown(node: Node, fields: Any, path: str, *, top: bool = False) -> Iterator[str]:
    """Yield the properties of an object, or of what is within an array or expression, that the model does not have."""
    if node.type == "object" and fields is not None:
        names = fields.names if isinstance(fields, Fields) else fields
        for name, value in properties_of(node).items():
            if name in names:
                below = fields.below(name) if isinstance(fields, Fields) else names[name]
                yield from _unknown(value, below, f"{path}.{name}")
            elif not (top and name in OF_BICEP):
                yield f"{path}.{name} (line {value.start_point.row + 1})"
    elif node.type in ("array", "for_statement", "ternary_expression", "parenthesized_expression"):
        for child in node.named_children:
            yield from _unknown(child, fields, path)


if __name__ == "__main__":
    sys.exit(main())
