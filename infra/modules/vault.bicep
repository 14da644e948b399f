// The secrets: webhook secrets, personal access tokens, channel addresses. Read by the app, written by officers.

@description('Name of the vault.')
param name string

@description('Region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Object id of the app, which may read secrets.')
param principalId string

@description('Object ids of those who may write secrets: people, or a group.')
param officerIds array

@description('What those object ids are.')
@allowed([
  'User'
  'Group'
  'ServicePrincipal'
])
param officerType string

@description('Resource id of the workspace that gets the audit log.')
param workspaceId string

@description('Whether the vault is closed to the public network; then the app comes in by a private endpoint.')
param isPrivate bool

@description('Addresses or ranges that are let in all the same, such as an operator\'s.')
param operatorAddresses array

@description('How many days a deleted vault or secret can be had back; with purge protection it cannot go before.')
@minValue(7)
@maxValue(90)
param softDeleteDays int

@description('Whether to bring back the vault of this name, which was deleted and is still kept.')
param recover bool

var secretsUser = '4633458b-17de-408a-b874-0445c86b69e6'
var secretsOfficer = 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7'
var publicAccess = isPrivate && empty(operatorAddresses) ? 'Disabled' : 'Enabled'

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  // checkov:skip=CKV_AZURE_109: isPrivate says it, prod.bicepparam sets it
  // checkov:skip=CKV_AZURE_189: isPrivate says it, prod.bicepparam sets it
  name: name
  location: location
  tags: tags
  properties: {
    createMode: recover ? 'recover' : 'default'
    tenantId: subscription().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: softDeleteDays
    enablePurgeProtection: true
    enabledForDeployment: false
    enabledForDiskEncryption: false
    enabledForTemplateDeployment: false
    publicNetworkAccess: publicAccess
    networkAcls: {
      bypass: 'None'
      defaultAction: isPrivate ? 'Deny' : 'Allow'
      ipRules: [for address in operatorAddresses: {
        value: address
      }]
    }
  }
}

resource mayRead 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, principalId, secretsUser)
  scope: vault
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsUser)
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

resource mayWrite 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for officer in officerIds: {
  name: guid(vault.id, officer, secretsOfficer)
  scope: vault
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsOfficer)
    principalId: officer
    principalType: officerType
  }
}]

resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: vault
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'AuditEvent'
        enabled: true
      }
    ]
  }
}

@description('Resource id of the vault.')
output id string = vault.id

@description('Name of the vault.')
output name string = vault.name

@description('Address of the vault, without a slash at its end.')
output url string = 'https://${vault.name}${environment().suffixes.keyvaultDns}'
