// Who is told of what. Each rule asks one of the files in infra/monitoring/queries; docs/monitoring.md says what each
// means and what to do first.

@description('Beginning of the rules\' names.')
param prefix string

@description('Region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Resource id of Application Insights.')
param insightsId string

@description('Mail addresses that are told.')
param emails array

@description('Webhooks that are told, such as those of an on-call service.')
@secure()
param webhooks object

@description('Resource ids of action groups that are there already and are told too.')
param actionGroupIds array

@description('Whether the rules are at work.')
param enabled bool

@description('Seconds that a due step may wait.')
param maxDueSeconds int

@description('Refused deliveries in a quarter of an hour that are taken for normal.')
param maxUnauthorized int

@description('Milliseconds that an answer may take (95th percentile).')
param maxAnswerMilliseconds int

@description('Days before a secret expires at which somebody is told.')
param expiryDays int

var rules = [
  {
    name: 'dead-or-parked'
    title: 'Steps ended dead or parked'
    query: loadTextContent('../monitoring/queries/alert-dead-or-parked.kql')
    severity: 1
    frequency: 'PT5M'
    window: 'PT5M'
    aggregation: 'Count'
    column: ''
    operator: 'GreaterThan'
    threshold: 0
    splitBy: 'route'
    resolves: false
  }
  {
    name: 'poison'
    title: 'A message was kept as poison'
    query: loadTextContent('../monitoring/queries/alert-poison.kql')
    severity: 1
    frequency: 'PT5M'
    window: 'PT5M'
    aggregation: 'Count'
    column: ''
    operator: 'GreaterThan'
    threshold: 0
    splitBy: ''
    resolves: false
  }
  {
    name: 'oldest-due'
    title: 'A due step is not taken'
    query: loadTextContent('../monitoring/queries/alert-oldest-due.kql')
    severity: 2
    frequency: 'PT5M'
    window: 'PT15M'
    aggregation: 'Maximum'
    column: 'oldest_due_seconds'
    operator: 'GreaterThan'
    threshold: maxDueSeconds
    splitBy: ''
    resolves: true
  }
  {
    name: 'unauthorized'
    title: 'Many deliveries are refused as unauthorized'
    query: loadTextContent('../monitoring/queries/alert-unauthorized.kql')
    severity: 3
    frequency: 'PT5M'
    window: 'PT15M'
    aggregation: 'Total'
    column: 'refused'
    operator: 'GreaterThan'
    threshold: maxUnauthorized
    splitBy: ''
    resolves: true
  }
  {
    name: 'server-errors'
    title: 'Deliveries are answered 5xx'
    query: loadTextContent('../monitoring/queries/alert-server-errors.kql')
    severity: 1
    frequency: 'PT5M'
    window: 'PT5M'
    aggregation: 'Total'
    column: 'failed'
    operator: 'GreaterThan'
    threshold: 0
    splitBy: ''
    resolves: true
  }
  {
    name: 'slow-answers'
    title: 'Senders wait long for their answer'
    query: loadTextContent('../monitoring/queries/alert-slow-answers.kql')
    severity: 3
    frequency: 'PT15M'
    window: 'PT15M'
    aggregation: 'Maximum'
    column: 'slow'
    operator: 'GreaterThan'
    threshold: maxAnswerMilliseconds
    splitBy: ''
    resolves: true
  }
  {
    name: 'vault'
    title: 'Key Vault can\'t be asked'
    query: loadTextContent('../monitoring/queries/alert-vault.kql')
    severity: 1
    frequency: 'PT5M'
    window: 'PT15M'
    aggregation: 'Count'
    column: ''
    operator: 'GreaterThan'
    threshold: 0
    splitBy: 'secret'
    resolves: true
  }
  {
    name: 'silence'
    title: 'Nothing has been heard of the sweeper'
    query: loadTextContent('../monitoring/queries/alert-silence.kql')
    severity: 0
    frequency: 'PT5M'
    window: 'PT15M'
    aggregation: 'Count'
    column: ''
    operator: 'GreaterThan'
    threshold: 0
    splitBy: ''
    resolves: true
  }
  {
    name: 'budget'
    title: 'A model version started more routes than its budget allows'
    query: loadTextContent('../monitoring/queries/alert-budget.kql')
    severity: 2
    frequency: 'PT5M'
    window: 'PT5M'
    aggregation: 'Count'
    column: ''
    operator: 'GreaterThan'
    threshold: 0
    splitBy: 'model'
    resolves: false
  }
  {
    name: 'unreported'
    title: 'A webhook did not tell of what happened in a registry'
    query: loadTextContent('../monitoring/queries/alert-unreported.kql')
    severity: 2
    frequency: 'PT15M'
    window: 'PT15M'
    aggregation: 'Count'
    column: ''
    operator: 'GreaterThan'
    threshold: 0
    splitBy: 'source'
    resolves: false
  }
  {
    name: 'secret-expiring'
    title: 'A secret is about to expire'
    query: loadTextContent('../monitoring/queries/alert-secret-expiring.kql')
    severity: 2
    frequency: 'PT6H'
    window: 'PT6H'
    aggregation: 'Minimum'
    column: 'expires_days'
    operator: 'LessThan'
    threshold: expiryDays
    splitBy: 'secret'
    resolves: true
  }
]

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: '${prefix}-people'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: take('relay${uniqueString(prefix)}', 12)
    emailReceivers: [for email in emails: {
      name: email
      emailAddress: email
      useCommonAlertSchema: true
    }]
    webhookReceivers: [for webhook in items(webhooks): {
      name: webhook.key
      serviceUri: webhook.value
      useCommonAlertSchema: true
    }]
  }
}

resource rule 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for item in rules: {
  name: '${prefix}-${item.name}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: '${prefix}: ${item.title}'
    description: '${item.title}. What to do first: docs/monitoring.md, ${item.name}.'
    severity: item.severity
    enabled: enabled
    scopes: [
      insightsId
    ]
    evaluationFrequency: item.frequency
    windowSize: item.window
    autoMitigate: item.resolves
    criteria: {
      allOf: [
        {
          query: item.query
          timeAggregation: item.aggregation
          metricMeasureColumn: empty(item.column) ? null : item.column
          operator: item.operator
          threshold: item.threshold
          dimensions: empty(item.splitBy) ? [] : [
            {
              name: item.splitBy
              operator: 'Include'
              values: [
                '*'
              ]
            }
          ]
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: concat([
        people.id
      ], actionGroupIds)
    }
  }
}]

@description('Resource id of the action group.')
output actionGroupId string = people.id
