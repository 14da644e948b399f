// Who the app is: one user-assigned identity, so that its rights outlive a new app and can be given before it is there.

@description('Name of the identity.')
param name string

@description('Region.')
param location string

@description('Tags of every resource.')
param tags object

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: name
  location: location
  tags: tags
}

@description('Resource id of the identity.')
output id string = identity.id

@description('Object id, which roles are assigned to.')
output principalId string = identity.properties.principalId

@description('Client id, by which the app names its identity.')
output clientId string = identity.properties.clientId
