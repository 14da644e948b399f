#!/usr/bin/env bash
# Deploys an environment: infra/deploy.sh dev|prod. Needs az, signed in (az login), and python3.
#   RESOURCE_GROUP  default registry-relay-ENV      LOCATION  default westeurope, for a group that is not there yet
#   WHAT_IF=1       only show what would change     APP_ONLY=1  only publish the code
#   WITH_FUNC=1     publish with Core Tools (func) instead of az
set -euo pipefail
cd "$(dirname "$0")/.."

environment=${1:?which environment: dev or prod}
parameters=infra/environments/$environment.bicepparam
[ -f "$parameters" ] || { echo "there is no $parameters" >&2; exit 2; }
group=${RESOURCE_GROUP:-registry-relay-$environment}
deployment=registry-relay

output() {
  az deployment group show --resource-group "$group" --name "$deployment" --query "properties.outputs.$1.value" --output tsv
}

provision() {
  if [ "$(az group exists --name "$group")" != true ]; then
    az group create --name "$group" --location "${LOCATION:-westeurope}" --output none
  fi
  if [ -n "${WHAT_IF:-}" ]; then
    az deployment group what-if --resource-group "$group" --parameters "$parameters"
    exit 0
  fi
  recover_vault
  echo "deploying $parameters to $group"
  az deployment group create --resource-group "$group" --name "$deployment" --parameters "$parameters" --output none
}

# A vault that was deleted keeps its name until its days are over.
recover_vault() {
  local kept
  kept=$(az keyvault list-deleted --resource-type vault \
    --query "[?contains(properties.vaultId, '/resourceGroups/$group/')].name" --output tsv)
  for vault in $kept; do
    echo "bringing back the deleted vault $vault"
    az keyvault recover --name "$vault" --output none
  done
}

publish() {
  local app=$1 package
  if [ -n "${WITH_FUNC:-}" ]; then
    func azure functionapp publish "$app" --python --build remote
    return
  fi
  package=$(mktemp -d)/app.zip
  python3 -m infra.package "$package"
  az functionapp deployment source config-zip --resource-group "$group" --name "$app" --src "$package" \
    --build-remote true --output none
}

upload_routes() {
  # only where the template says that routes are a blob
  local app=$1 routes
  routes=$(az functionapp config appsettings list --resource-group "$group" --name "$app" \
    --query "[?name=='ROUTES'].value | [0]" --output tsv)
  case $routes in
    https://*)
      az storage blob upload --blob-url "$routes" --file routes.yaml --auth-mode login --overwrite --output none ||
        echo "routes.yaml could not be uploaded to $routes: you need the role Storage Blob Data Contributor there, and an address that is let in" >&2
      ;;
  esac
}

[ -n "${APP_ONLY:-}" ] || provision
app=$(output appName)
publish "$app"
upload_routes "$app"
cat <<TEXT
deployed: $(output appUrl)
vault:    $(output vaultName)
identity: client id $(output clientId), object id $(output principalId)
next:     the secrets and the rights elsewhere: docs/deploy.md, from step 3 on
health:   curl $(output appUrl)/api/health
TEXT
