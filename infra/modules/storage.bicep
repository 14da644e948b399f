// The one storage account: of the Functions host, of the deployment package, of the queues and of the ledger.
// Nobody has a key to it; the app comes in as its identity.

@description('Name of the storage account.')
param name string

@description('Region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Redundancy. The ledger is in here: Standard_ZRS or Standard_GZRS for production.')
@allowed([
  'Standard_LRS'
  'Standard_ZRS'
  'Standard_GRS'
  'Standard_GZRS'
])
param sku string

@description('Name of the container of the deployment package.')
param deploymentContainer string

@description('Object id of the app.')
param principalId string

@description('Resource id of the workspace that gets the diagnostic logs.')
param workspaceId string

@description('Whether the account is closed to the public network; then the app comes in by private endpoints.')
param isPrivate bool

@description('Addresses or ranges that are let in all the same, such as an operator\'s.')
param operatorAddresses array

@description('How many days a deleted blob or container can be had back.')
@minValue(1)
@maxValue(365)
param softDeleteDays int

// As the code names them: shared/messages.py, shared/ledger.py and the other doors to tables. A test compares.
var queues = [
  'events'
  'steps'
  'events-poison'
  'steps-poison'
]
var tables = [
  'acts'
  'approvals'
  'budget'
  'echoes'
  'failures'
  'open'
  'poison'
  'recent'
  'relay'
  'steps'
  'switches'
]
var containers = [
  deploymentContainer
  'relay-events'
  'routes'
]

// What Microsoft documents for the connection AzureWebJobsStorage (blobs: the host's leases, keys and the package);
// queue triggers and outputs; and the tables of the ledger, with the host's own diagnostic events.
var roles = [
  'b7e6dc6d-f1e8-4753-8033-0f276bb0955b' // Storage Blob Data Owner
  '974c5e8b-45b9-4653-ba55-5f855dd0fb88' // Storage Queue Data Contributor
  '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3' // Storage Table Data Contributor
]
var publicAccess = isPrivate && empty(operatorAddresses) ? 'Disabled' : 'Enabled'

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  // checkov:skip=CKV_AZURE_35: isPrivate says it, prod.bicepparam sets it
  // checkov:skip=CKV_AZURE_206: a parameter says it, prod.bicepparam sets Standard_ZRS
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: sku
  }
  properties: {
    accessTier: 'Hot'
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: publicAccess
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: isPrivate ? 'Deny' : 'Allow'
      ipRules: [for address in operatorAddresses: {
        action: 'Allow'
        value: address
      }]
    }
    encryption: {
      keySource: 'Microsoft.Storage'
      requireInfrastructureEncryption: true
      services: {
        blob: {
          enabled: true
          keyType: 'Account'
        }
        file: {
          enabled: true
          keyType: 'Account'
        }
        queue: {
          enabled: true
          keyType: 'Account'
        }
        table: {
          enabled: true
          keyType: 'Account'
        }
      }
    }
  }
}

resource blobService 'Microsoft.Storage/storageAccounts/blobServices@2024-01-01' = {
  parent: account
  name: 'default'
  properties: {
    deleteRetentionPolicy: {
      enabled: true
      days: softDeleteDays
    }
    containerDeleteRetentionPolicy: {
      enabled: true
      days: softDeleteDays
    }
  }
}

resource container 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' = [for item in containers: {
  parent: blobService
  name: item
  properties: {
    publicAccess: 'None'
  }
}]

resource queueService 'Microsoft.Storage/storageAccounts/queueServices@2024-01-01' = {
  parent: account
  name: 'default'
}

// A queue trigger never makes its queue, so they are made here.
resource queue 'Microsoft.Storage/storageAccounts/queueServices/queues@2024-01-01' = [for item in queues: {
  parent: queueService
  name: item
}]

resource tableService 'Microsoft.Storage/storageAccounts/tableServices@2024-01-01' = {
  parent: account
  name: 'default'
}

resource table 'Microsoft.Storage/storageAccounts/tableServices/tables@2024-01-01' = [for item in tables: {
  parent: tableService
  name: item
}]

resource may 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for role in roles: {
  name: guid(account.id, principalId, role)
  scope: account
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}]

// Who changed or deleted what. Reads are left out: the host polls its queues many times a minute.
resource blobLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: blobService
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'StorageWrite'
        enabled: true
      }
      {
        category: 'StorageDelete'
        enabled: true
      }
    ]
  }
}

resource tableLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: tableService
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'StorageDelete'
        enabled: true
      }
    ]
  }
}

resource queueLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: queueService
  properties: {
    workspaceId: workspaceId
    metrics: [
      {
        category: 'Transaction'
        enabled: true
      }
    ]
  }
}

@description('Resource id of the account.')
output id string = account.id

@description('Name of the account.')
output name string = account.name

@description('Address of its blobs.')
output blobUri string = account.properties.primaryEndpoints.blob

@description('Address of its queues.')
output queueUri string = account.properties.primaryEndpoints.queue

@description('Address of its tables.')
output tableUri string = account.properties.primaryEndpoints.table
