// What the targets azure_ml_deployment and azure_ml_score need in one workspace: models and online endpoints. The
// built-in AzureML Data Scientist may run jobs, read datastores' secrets and much more besides.

@description('Name of the workspace, in the resource group that this module is deployed to.')
param workspaceName string

@description('Object id of the app.')
param principalId string

// The names of custom roles are unique in a tenant.
var suffix = uniqueString(resourceGroup().id)

resource role 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, 'registry-relay-machine-learning')
  properties: {
    roleName: 'Registry Relay endpoints ${suffix}'
    description: 'May register models, and create, change, ask and delete online endpoints and their deployments.'
    type: 'CustomRole'
    assignableScopes: [
      resourceGroup().id
    ]
    permissions: [
      {
        actions: [
          'Microsoft.MachineLearningServices/workspaces/read'
          'Microsoft.MachineLearningServices/workspaces/computes/read'
          'Microsoft.MachineLearningServices/workspaces/environments/read'
          'Microsoft.MachineLearningServices/workspaces/environments/versions/read'
          'Microsoft.MachineLearningServices/workspaces/models/read'
          'Microsoft.MachineLearningServices/workspaces/models/write'
          'Microsoft.MachineLearningServices/workspaces/models/versions/read'
          'Microsoft.MachineLearningServices/workspaces/models/versions/write'
          'Microsoft.MachineLearningServices/workspaces/onlineEndpoints/*'
        ]
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
  }
}

resource workspace 'Microsoft.MachineLearningServices/workspaces@2024-10-01' existing = {
  name: workspaceName
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspace.id, principalId, role.id)
  scope: workspace
  properties: {
    roleDefinitionId: role.id
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}
