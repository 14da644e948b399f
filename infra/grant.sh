#!/usr/bin/env bash
# The rights that no template of Azure can give; each command may be given again. What you call needs rights of your own:
# a project collection administrator, a workspace administrator, an administrator of the cluster.
#   infra/grant.sh azure-devops CLIENT_ID ORGANIZATION PROJECT
#   infra/grant.sh databricks   CLIENT_ID WORKSPACE_URL [MODEL_ID CAN_READ|CAN_EDIT|CAN_MANAGE_STAGING_VERSIONS|CAN_MANAGE_PRODUCTION_VERSIONS|CAN_MANAGE]
#   infra/grant.sh aks          PRINCIPAL_ID CLUSTER_ID NAMESPACE
#   infra/grant.sh role         PRINCIPAL_ID ROLE SCOPE          # any other target: Data Factory, Synapse …
set -euo pipefail

DEVOPS=499b84ac-1321-427f-aa17-267ca6975798      # Azure DevOps, as Entra knows it
DATABRICKS=2ff814a6-3304-4ab8-85cb-cd0e6f879c1d  # Azure Databricks, likewise

# Adds the identity as a user with the licence Basic (Stakeholder may not start pipelines) to the project's group
# Readers. What it may start is set per definition: docs/deploy.md, step 4.
azure_devops() {
  local client=$1 organization=$2 project=$3 object project_id
  object=$(az ad sp show --id "$client" --query id --output tsv)
  project_id=$(az rest --resource "$DEVOPS" --url "https://dev.azure.com/$organization/_apis/projects/$(encoded "$project")?api-version=7.1" \
    --query id --output tsv)
  az rest --method post --resource "$DEVOPS" \
    --url "https://vsaex.dev.azure.com/$organization/_apis/serviceprincipalentitlements?api-version=7.1-preview.1" \
    --headers Content-Type=application/json \
    --body "{\"accessLevel\": {\"accountLicenseType\": \"express\"}, \"servicePrincipal\": {\"origin\": \"aad\", \"originId\": \"$object\", \"subjectKind\": \"servicePrincipal\"}, \"projectEntitlements\": [{\"group\": {\"groupType\": \"projectContributor\"}, \"projectRef\": {\"id\": \"$project_id\"}}]}"
}

# Adds the identity to the workspace as a service principal without a secret and, with a model's id, gives it a right
# to that registered model: CAN_READ for `require`, more for stages, tags and comments.
databricks() {
  local client=$1 workspace=$2 model=${3:-} level=${4:-CAN_READ}
  az rest --method post --resource "$DATABRICKS" --url "$workspace/api/2.0/preview/scim/v2/ServicePrincipals" \
    --headers Content-Type=application/scim+json \
    --body "{\"schemas\": [\"urn:ietf:params:scim:schemas:core:2.0:ServicePrincipal\"], \"applicationId\": \"$client\", \"displayName\": \"Registry Relay\", \"entitlements\": [{\"value\": \"workspace-access\"}]}" ||
    echo "it may be there already: see $workspace/settings/workspace/identity-and-access" >&2
  [ -z "$model" ] || az rest --method patch --resource "$DATABRICKS" \
    --url "$workspace/api/2.0/permissions/registered-models/$model" --headers Content-Type=application/json \
    --body "{\"access_control_list\": [{\"service_principal_name\": \"$client\", \"permission_level\": \"$level\"}]}"
}

# In a cluster with Entra authentication and Azure RBAC: what it may change within one namespace. The right to run
# commands at all is the template's (clusterIds).
aks() {
  az role assignment create --assignee-object-id "$1" --assignee-principal-type ServicePrincipal \
    --role "Azure Kubernetes Service RBAC Writer" --scope "$2/namespaces/$3"
}

role() {
  az role assignment create --assignee-object-id "$1" --assignee-principal-type ServicePrincipal --role "$2" --scope "$3"
}

encoded() { python3 -c 'import sys, urllib.parse; print(urllib.parse.quote(sys.argv[1], safe=""))' "$1"; }

case ${1:-} in
  azure-devops) shift; [ $# = 3 ] && azure_devops "$@" ;;
  databricks) shift; [ $# -ge 2 ] && databricks "$@" ;;
  aks) shift; [ $# = 3 ] && aks "$@" ;;
  role) shift; [ $# = 3 ] && role "$@" ;;
  *) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
