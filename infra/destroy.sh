#!/usr/bin/env bash
# Takes an environment away: infra/destroy.sh dev. Asks for the group's name first; YES=1 does not ask.
# The vault is kept by Azure for its days and can be brought back; the ledger and the telemetry are gone.
set -euo pipefail

environment=${1:?which environment: dev or prod}
group=${RESOURCE_GROUP:-registry-relay-$environment}
principal=$(az deployment group show --resource-group "$group" --name registry-relay \
  --query properties.outputs.principalId.value --output tsv)
elsewhere="[?!contains(scope, '/resourceGroups/$group/')].{role: roleDefinitionName, scope: scope}"

echo "This deletes the resource group $group with all that is in it, and these roles of the app elsewhere:"
az role assignment list --assignee "$principal" --all --query "$elsewhere" --output table
if [ -z "${YES:-}" ]; then
  read -r -p "Type the group's name to go on: " answer
  [ "$answer" = "$group" ] || { echo "nothing was deleted"; exit 1; }
fi
# roles first: without the identity they would stay behind as assignments of an unknown principal
az role assignment list --assignee "$principal" --all --query "[?!contains(scope, '/resourceGroups/$group/')].id" --output tsv |
  while read -r id; do az role assignment delete --ids "$id"; done
az group delete --name "$group" --yes
echo "deleted. Still there, for you to remove: the app's user in Azure DevOps and in Databricks, and the registries' webhooks"
