// The app on Flex Consumption, with all its settings. It has no password of any kind: storage, vault, telemetry and
// its own package are reached as its identity, and publishing goes by Entra alone.

@description('Name of the app; part of its address.')
param name string

@description('Name of the plan.')
param planName string

@description('Region; it has to offer Flex Consumption.')
param location string

@description('Tags of every resource; azd finds the app by one of its own.')
param tags object

@description('Version of Python.')
@allowed([
  '3.11'
  '3.12'
  '3.13'
])
param pythonVersion string

@description('Memory of an instance in MB.')
@allowed([
  512
  2048
  4096
])
param instanceMemoryMB int

@description('How many instances there may be; what the targets are asked at once grows with it.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int

@description('Whether instances are spread over availability zones.')
param zoneRedundant bool

@description('Instances that never sleep: [{name: http|function:NAME, instanceCount: N}].')
param alwaysReady array

@description('How many deliveries one instance takes at once.')
@minValue(1)
@maxValue(1000)
param httpConcurrency int

@description('Largest body that the host takes, in bytes. The app itself answers 413 above 1 MiB.')
param maxBodyBytes int

@description('Who may call the app: [{name, address: CIDR or service tag, isTag: bool}]; empty: everybody.')
param callers array

@description('Resource id of the subnet through which the app goes out; empty: none.')
param subnetId string

@description('Resource id of the app\'s identity.')
param identityId string

@description('Client id of the app\'s identity.')
param clientId string

@description('Address of the account\'s blobs.')
param blobUri string

@description('Address of the account\'s queues.')
param queueUri string

@description('Address of the account\'s tables.')
param tableUri string

@description('Name of the container of the deployment package.')
param deploymentContainer string

@description('Address of the vault.')
param keyVaultUrl string

@description('Where Application Insights takes telemetry.')
param insightsConnectionString string

@description('Address of an OpenTelemetry collector besides; empty: none.')
param otlpEndpoint string

@description('Resource id of the workspace that gets the host\'s log.')
param workspaceId string

@description('Path or blob URL of the routes file.')
param routes string

@description('The app\'s own address, for links to approvals; empty: the one that Azure gives it.')
param publicUrl string

@description('Address of Azure DevOps.')
param azureDevOpsUrl string

@description('Hosts that the target `http` may talk to, commas between.')
param allowedHosts string

@description('How many days the ledger remembers an event.')
@minValue(31)
param retentionDays int

@description('Settings besides, or in the place of, those below.')
param extraSettings object

var settings = {
  // The storage account, in the form that both the host and shared/storage.py read.
  AzureWebJobsStorage__blobServiceUri: blobUri
  AzureWebJobsStorage__queueServiceUri: queueUri
  AzureWebJobsStorage__tableServiceUri: tableUri
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: clientId
  // DefaultAzureCredential takes the identity of this client id.
  AZURE_CLIENT_ID: clientId
  // Telemetry of host and app, as that identity: the key in the connection string opens nothing.
  TELEMETRY: 'export'
  OTEL_EXPORTER_OTLP_ENDPOINT: otlpEndpoint
  APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${clientId};Authorization=AAD'
  FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: string(maxBodyBytes)
  PYTHON_THREADPOOL_THREAD_COUNT: '32'
  KEY_VAULT_URL: keyVaultUrl
  ROUTES: routes
  PUBLIC_URL: publicUrl
  AZURE_DEVOPS_URL: azureDevOpsUrl
  AZURE_RESOURCE_MANAGER_URL: environment().resourceManager
  ALLOWED_HOSTS: allowedHosts
  SWEEP_SCHEDULE: '0 */1 * * * *'
  RECONCILE_SCHEDULE: '0 */15 * * * *'
  STEP_LEASE_SECONDS: '120'
  SETTLE_SECONDS: '60'
  RETRY_DELAYS: '5,30,120,600,3600,10800,21600,43200'
  SECRET_CACHE_SECONDS: '300'
  RETENTION_DAYS: string(retentionDays)
}

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  // checkov:skip=CKV_AZURE_225: a parameter says it, prod.bicepparam sets it
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    tier: 'FlexConsumption'
    name: 'FC1'
  }
  properties: {
    reserved: true
    zoneRedundant: zoneRedundant
  }
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  // checkov:skip=CKV_AZURE_222: registries call the webhook from outside; the signature is the gate, `callers` narrows it
  // checkov:skip=CKV_AZURE_17: no registry presents a client certificate
  // checkov:skip=CKV_AZURE_212: Flex Consumption has alwaysReady instead
  // checkov:skip=CKV_AZURE_213: Flex Consumption has no health check path; the rule `silence` watches the sweeper
  name: name
  location: location
  tags: union(tags, {
    'azd-service-name': 'app'
  })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    clientCertEnabled: false
    publicNetworkAccess: 'Enabled'
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    keyVaultReferenceIdentity: identityId
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${blobUri}${deploymentContainer}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'python'
        version: pythonVersion
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: alwaysReady
        triggers: {
          http: {
            perInstanceConcurrency: httpConcurrency
          }
        }
      }
    }
    siteConfig: {
      appSettings: [for setting in items(union(settings, extraSettings)): {
        name: setting.key
        value: setting.value
      }]
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
      remoteDebuggingEnabled: false
      cors: {
        allowedOrigins: []
        supportCredentials: false
      }
      ipSecurityRestrictionsDefaultAction: empty(callers) ? 'Allow' : 'Deny'
      ipSecurityRestrictions: [for (caller, i) in callers: {
        name: caller.name
        ipAddress: caller.address
        tag: caller.isTag ? 'ServiceTag' : 'Default'
        action: 'Allow'
        priority: 100 + i
      }]
    }
  }
}

// No user name and password for publishing: only Entra identities with a role.
resource ftpCredentials 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource scmCredentials 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
}

// The host's own log: it tells of starts that failed before any telemetry could leave.
resource hostLog 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: app
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'FunctionAppLogs'
        enabled: true
      }
    ]
    metrics: [
      {
        category: 'AllMetrics'
        enabled: true
      }
    ]
  }
}

@description('Name of the app.')
output name string = app.name

@description('Address of the app.')
output url string = 'https://${app.properties.defaultHostName}'
