// Registry Relay in one resource group. Deploy with `make deploy ENV=dev`, or by hand: docs/deploy.md.
targetScope = 'resourceGroup'

@description('Beginning of the resources\' names: lower-case letters and digits.')
@minLength(2)
@maxLength(10)
param name string = 'relay'

@description('Which environment this is: dev, prod. Part of the names.')
@minLength(2)
@maxLength(8)
param environmentName string

@description('Region; it has to offer Flex Consumption: az functionapp list-flexconsumption-locations.')
param location string = resourceGroup().location

@description('Tags of every resource.')
param tags object = {}

@description('Version of Python.')
param pythonVersion string = '3.12'

@description('Memory of an instance in MB: 512, 2048 or 4096.')
param instanceMemoryMB int = 2048

@description('How many instances there may be, 40 at least.')
param maximumInstanceCount int = 40

@description('Whether instances are spread over availability zones; the region has to offer it.')
param zoneRedundant bool = false

@description('Instances that never sleep: [{name: http|function:NAME, instanceCount: N}]. They cost while they wait.')
param alwaysReady array = []

@description('How many deliveries one instance takes at once.')
param httpConcurrency int = 32

@description('Largest body that the host takes, in bytes. The app itself answers 413 above 1 MiB.')
param maxBodyBytes int = 2097152

@description('Who may call the app: [{name, address: CIDR or service tag, isTag: bool}]; empty: everybody. Approvers and operators are callers too.')
param callers array = []

@description('Whether storage and vault are closed to the public network and reached through a virtual network.')
param isPrivate bool = false

@description('Address range of that network.')
param addressPrefix string = '10.40.0.0/24'

@description('Part of it for the app, /27 or larger.')
param appPrefix string = '10.40.0.0/25'

@description('Part of it for the private endpoints, /28 or larger.')
param endpointPrefix string = '10.40.0.128/27'

@description('Public addresses or ranges from which people reach storage and vault when they are closed.')
param operatorAddresses array = []

@description('Redundancy of the storage account.')
param storageSku string = 'Standard_LRS'

@description('How many days what was deleted in storage or vault can be had back.')
@minValue(7)
@maxValue(90)
param softDeleteDays int = 7

@description('Whether to bring back the vault of an earlier deployment, deleted less than softDeleteDays ago.')
param recoverVault bool = false

@description('Object ids of those who may write secrets.')
param officerIds array = []

@description('What those object ids are: User, Group or ServicePrincipal.')
param officerType string = 'Group'

@description('Path of the routes file in the package; ignored if routesInBlob.')
param routes string = 'routes.yaml'

@description('Whether the routes file is the blob routes/routes.yaml, which can change without a deployment.')
param routesInBlob bool = false

@description('The app\'s own address, for links to approvals; empty: the one that Azure gives it.')
param publicUrl string = ''

@description('Address of Azure DevOps.')
param azureDevOpsUrl string = 'https://dev.azure.com'

@description('Hosts that the target `http` may talk to, commas between.')
param allowedHosts string = ''

@description('How many days the ledger remembers an event, 31 at least.')
param retentionDays int = 90

@description('App settings besides, or in the place of, those of the template.')
param extraSettings object = {}

@description('Address of an OpenTelemetry collector that telemetry goes to as well; empty: none.')
param otlpEndpoint string = ''

@description('How many days telemetry is kept.')
param logRetentionDays int = 30

@description('How many GB of telemetry a day; -1: no limit.')
param logDailyQuotaGb int = 1

@description('Mail addresses that alerts go to.')
param alertEmails array = []

@description('Webhooks that alerts go to: {name: address}.')
@secure()
param alertWebhooks object = {}

@description('Resource ids of action groups that are there already.')
param actionGroupIds array = []

@description('Whether alerts are sent.')
param alertsEnabled bool = true

@description('Seconds that a due step may wait before an alert.')
param maxDueSeconds int = 900

@description('Refused deliveries in a quarter of an hour before an alert.')
param maxUnauthorized int = 20

@description('Milliseconds that an answer may take (95th percentile) before an alert.')
param maxAnswerMilliseconds int = 5000

@description('Days before a secret expires at which there is an alert.')
param expiryDays int = 14

@description('Resource ids of the AKS clusters that routes may act on.')
param clusterIds array = []

@description('Resource ids of the Azure ML workspaces that routes may act on.')
param machineLearningWorkspaceIds array = []

var token = uniqueString(resourceGroup().id, name, environmentName)
var base = '${name}-${environmentName}-${take(token, 6)}'
var allTags = union({
  'azd-env-name': environmentName
  application: 'registry-relay'
}, tags)
var deploymentContainer = 'deployment'
var storageServices = [
  'blob'
  'queue'
  'table'
]

module identity 'modules/identity.bicep' = {
  name: 'identity'
  params: {
    name: '${base}-identity'
    location: location
    tags: allTags
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  params: {
    workspaceName: '${base}-logs'
    insightsName: '${base}-insights'
    location: location
    tags: allTags
    retentionDays: logRetentionDays
    dailyQuotaGb: logDailyQuotaGb
    principalId: identity.outputs.principalId
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  params: {
    name: take(toLower('${name}${environmentName}${token}'), 24)
    location: location
    tags: allTags
    sku: storageSku
    deploymentContainer: deploymentContainer
    principalId: identity.outputs.principalId
    workspaceId: monitoring.outputs.workspaceId
    isPrivate: isPrivate
    operatorAddresses: operatorAddresses
    softDeleteDays: softDeleteDays
  }
}

module vault 'modules/vault.bicep' = {
  name: 'vault'
  params: {
    name: take('${base}-kv', 24)
    location: location
    tags: allTags
    principalId: identity.outputs.principalId
    officerIds: officerIds
    officerType: officerType
    workspaceId: monitoring.outputs.workspaceId
    isPrivate: isPrivate
    operatorAddresses: operatorAddresses
    softDeleteDays: softDeleteDays
    recover: recoverVault
  }
}

module network 'modules/network.bicep' = if (isPrivate) {
  name: 'network'
  params: {
    name: '${base}-network'
    location: location
    tags: allTags
    addressPrefix: addressPrefix
    appPrefix: appPrefix
    endpointPrefix: endpointPrefix
  }
}

module storageEndpoints 'modules/private-endpoint.bicep' = [for (service, i) in storageServices: if (isPrivate) {
  name: 'endpoint-${service}'
  params: {
    name: '${base}-${service}'
    location: location
    tags: allTags
    subnetId: isPrivate ? network.outputs.endpointSubnetId : ''
    targetId: storage.outputs.id
    groupId: service
    zoneId: isPrivate ? network.outputs.zoneIds[i] : ''
  }
}]

module vaultEndpoint 'modules/private-endpoint.bicep' = if (isPrivate) {
  name: 'endpoint-vault'
  params: {
    name: '${base}-vault'
    location: location
    tags: allTags
    subnetId: isPrivate ? network.outputs.endpointSubnetId : ''
    targetId: vault.outputs.id
    groupId: 'vault'
    zoneId: isPrivate ? network.outputs.zoneIds[3] : ''
  }
}

module app 'modules/function-app.bicep' = {
  name: 'function-app'
  params: {
    name: base
    planName: '${base}-plan'
    location: location
    tags: allTags
    pythonVersion: pythonVersion
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    zoneRedundant: zoneRedundant
    alwaysReady: alwaysReady
    httpConcurrency: httpConcurrency
    maxBodyBytes: maxBodyBytes
    callers: callers
    subnetId: isPrivate ? network.outputs.appSubnetId : ''
    identityId: identity.outputs.id
    clientId: identity.outputs.clientId
    blobUri: storage.outputs.blobUri
    queueUri: storage.outputs.queueUri
    tableUri: storage.outputs.tableUri
    deploymentContainer: deploymentContainer
    keyVaultUrl: vault.outputs.url
    otlpEndpoint: otlpEndpoint
    insightsConnectionString: monitoring.outputs.connectionString
    workspaceId: monitoring.outputs.workspaceId
    routes: routesInBlob ? '${storage.outputs.blobUri}routes/routes.yaml' : routes
    publicUrl: publicUrl
    azureDevOpsUrl: azureDevOpsUrl
    allowedHosts: allowedHosts
    retentionDays: retentionDays
    extraSettings: extraSettings
  }
  // the host needs storage from its first moment on
  dependsOn: [
    storageEndpoints
    vaultEndpoint
  ]
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  params: {
    prefix: base
    location: location
    tags: allTags
    insightsId: monitoring.outputs.insightsId
    emails: alertEmails
    webhooks: alertWebhooks
    actionGroupIds: actionGroupIds
    enabled: alertsEnabled
    maxDueSeconds: maxDueSeconds
    maxUnauthorized: maxUnauthorized
    maxAnswerMilliseconds: maxAnswerMilliseconds
    expiryDays: expiryDays
  }
}

module views 'modules/views.bicep' = {
  name: 'views'
  params: {
    title: 'Registry Relay ${environmentName}'
    location: location
    tags: allTags
    insightsId: monitoring.outputs.insightsId
  }
}

module clusterAccess 'modules/aks-access.bicep' = [for (id, i) in clusterIds: {
  name: 'aks-access-${i}'
  scope: resourceGroup(split(id, '/')[2], split(id, '/')[4])
  params: {
    clusterName: split(id, '/')[8]
    principalId: identity.outputs.principalId
  }
}]

module machineLearningAccess 'modules/machine-learning-access.bicep' = [for (id, i) in machineLearningWorkspaceIds: {
  name: 'machine-learning-access-${i}'
  scope: resourceGroup(split(id, '/')[2], split(id, '/')[4])
  params: {
    workspaceName: split(id, '/')[8]
    principalId: identity.outputs.principalId
  }
}]

@description('Name of the app: what func and az publish to.')
output appName string = app.outputs.name

@description('Address of the app: webhooks go to /api/webhooks/SOURCE below it.')
output appUrl string = app.outputs.url

@description('Name of the vault that secrets are put into.')
output vaultName string = vault.outputs.name

@description('Name of the storage account.')
output storageName string = storage.outputs.name

@description('Object id of the app\'s identity, for roles elsewhere.')
output principalId string = identity.outputs.principalId

@description('Client id of the app\'s identity: what Azure DevOps and Databricks call it.')
output clientId string = identity.outputs.clientId
