// For trying things out: nothing waits, everything sleeps when idle, storage and vault are open to Entra identities.
using '../main.bicep'

param environmentName = 'dev'
param instanceMemoryMB = 2048
param maximumInstanceCount = 40
param zoneRedundant = false
param alwaysReady = []
param httpConcurrency = 32
param isPrivate = false
param storageSku = 'Standard_LRS'
param softDeleteDays = 7
param logRetentionDays = 30
param logDailyQuotaGb = 1
param alertEmails = []
param alertsEnabled = false
param routesInBlob = false
