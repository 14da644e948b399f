// What the target aks_rollout needs on one cluster: to run commands and to fetch what they said. Nothing else of Azure.
// On a cluster without Entra authentication a command runs as cluster administrator, whatever role is given here.

@description('Name of the cluster, in the resource group that this module is deployed to.')
param clusterName string

@description('Object id of the app.')
param principalId string

// The names of custom roles are unique in a tenant.
var suffix = uniqueString(resourceGroup().id)

resource role 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, 'registry-relay-aks')
  properties: {
    roleName: 'Registry Relay AKS runCommand ${suffix}'
    description: 'May run commands on AKS clusters and fetch their results.'
    type: 'CustomRole'
    assignableScopes: [
      resourceGroup().id
    ]
    permissions: [
      {
        actions: [
          'Microsoft.ContainerService/managedClusters/read'
          'Microsoft.ContainerService/managedClusters/runcommand/action'
          'Microsoft.ContainerService/managedClusters/commandResults/read'
        ]
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
  }
}

resource cluster 'Microsoft.ContainerService/managedClusters@2024-02-01' existing = {
  name: clusterName
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(cluster.id, principalId, role.id)
  scope: cluster
  properties: {
    roleDefinitionId: role.id
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}
