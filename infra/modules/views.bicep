// What people look at in the portal: the workbook, and a dashboard with two tiles.

@description('Shown name of workbook and dashboard.')
param title string

@description('Region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Resource id of Application Insights.')
param insightsId string

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, title)
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: title
    category: 'workbook'
    version: '1.0'
    sourceId: insightsId
    serializedData: replace(loadTextContent('../monitoring/workbook.json'), '__APPLICATION_INSIGHTS__', insightsId)
  }
}

resource dashboard 'Microsoft.Portal/dashboards@2020-09-01-preview' = {
  name: guid(resourceGroup().id, title, 'dashboard')
  location: location
  tags: union(tags, {
    'hidden-title': title
  })
  properties: {
    lenses: [
      {
        order: 0
        parts: [
          {
            position: {
              x: 0
              y: 0
              colSpan: 8
              rowSpan: 4
            }
            metadata: {
              type: 'Extension/Microsoft_OperationsManagementSuite_Workspace/PartType/LogsDashboardPart'
              inputs: [
                {
                  name: 'Scope'
                  value: {
                    resourceIds: [
                      insightsId
                    ]
                  }
                }
                {
                  name: 'Version'
                  value: '2.0'
                }
                {
                  name: 'PartId'
                  value: guid(insightsId, 'outcomes')
                }
                {
                  name: 'TimeRange'
                  value: 'P1D'
                }
                {
                  name: 'Query'
                  value: loadTextContent('../monitoring/queries/outcomes.kql')
                }
                {
                  name: 'ControlType'
                  value: 'FrameControlChart'
                }
                {
                  name: 'SpecificChart'
                  value: 'StackedColumn'
                }
                {
                  name: 'PartTitle'
                  value: 'States that steps entered'
                }
                {
                  name: 'PartSubTitle'
                  value: title
                }
                {
                  name: 'Dimensions'
                  value: {
                    xAxis: {
                      name: 'timestamp'
                      type: 'datetime'
                    }
                    yAxis: [
                      {
                        name: 'steps'
                        type: 'long'
                      }
                    ]
                    splitBy: [
                      {
                        name: 'outcome'
                        type: 'string'
                      }
                    ]
                    aggregation: 'Sum'
                  }
                }
              ]
            }
          }
          {
            position: {
              x: 0
              y: 4
              colSpan: 8
              rowSpan: 4
            }
            metadata: {
              type: 'Extension/Microsoft_OperationsManagementSuite_Workspace/PartType/LogsDashboardPart'
              inputs: [
                {
                  name: 'Scope'
                  value: {
                    resourceIds: [
                      insightsId
                    ]
                  }
                }
                {
                  name: 'Version'
                  value: '2.0'
                }
                {
                  name: 'PartId'
                  value: guid(insightsId, 'dead-and-parked')
                }
                {
                  name: 'TimeRange'
                  value: 'P1D'
                }
                {
                  name: 'Query'
                  value: loadTextContent('../monitoring/queries/dead-and-parked.kql')
                }
                {
                  name: 'ControlType'
                  value: 'AnalyticsGrid'
                }
                {
                  name: 'PartTitle'
                  value: 'Dead and parked'
                }
                {
                  name: 'PartSubTitle'
                  value: title
                }
              ]
            }
          }
        ]
      }
    ]
  }
}
