// For production: storage and vault behind private endpoints, two instances awake in different zones for senders that do not repeat
// themselves, and somebody is told when something is wrong.
using '../main.bicep'

param environmentName = 'prod'
param instanceMemoryMB = 2048
param maximumInstanceCount = 100
param zoneRedundant = true
param alwaysReady = [
  {
    name: 'http'
    instanceCount: 2
  }
]
param httpConcurrency = 32
param isPrivate = true
param addressPrefix = '10.40.0.0/24'
param appPrefix = '10.40.0.0/25'
param endpointPrefix = '10.40.0.128/27'
param operatorAddresses = []
param callers = []
param storageSku = 'Standard_ZRS'
param softDeleteDays = 90
param logRetentionDays = 90
param logDailyQuotaGb = 5
param alertEmails = [
  'mlops@example.com'
]
param alertsEnabled = true
param routesInBlob = true
param clusterIds = []
param machineLearningWorkspaceIds = []
