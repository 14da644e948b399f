// Parses and analyses the queries with Microsoft's own Kusto language service: node infra/checks/kql.js FILE...
// Tables and columns are those of Application Insights; exit status 1 if a query has an error.
"use strict";
const fs = require("fs");
const path = require("path");
const vm = require("vm");

const service = path.join(__dirname, "node_modules", "@kusto", "language-service-next");
for (const file of ["bridge.min.js", "Kusto.Language.Bridge.min.js"]) {
  vm.runInThisContext(fs.readFileSync(path.join(service, file), "utf8"), { filename: file });
}
const { KustoCode, GlobalState, Symbols } = globalThis.Kusto.Language;

const common = "timestamp:datetime, itemId:string, itemType:string, customDimensions:dynamic, " +
  "customMeasurements:dynamic, operation_Name:string, operation_Id:string, operation_ParentId:string, " +
  "cloud_RoleName:string, cloud_RoleInstance:string, appId:string, appName:string, iKey:string, itemCount:int";
const tables = [
  new Symbols.TableSymbol.$ctor7("traces", `(${common}, message:string, severityLevel:int)`, ""),
  new Symbols.TableSymbol.$ctor7(
    "requests",
    `(${common}, id:string, source:string, name:string, url:string, success:string, resultCode:string, ` +
      "duration:real, performanceBucket:string)",
    ""
  ),
];
const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.ctor("insights", tables));

let errors = 0;
for (const file of process.argv.slice(2)) {
  const text = fs.readFileSync(file, "utf8");
  const found = KustoCode.ParseAndAnalyze(text, globals).GetDiagnostics();
  for (let i = 0; i < found.Count; i++) {
    const { Severity, Message, Start } = found.getItem(i);
    const line = text.slice(0, Start).split("\n").length;
    console.log(`${file}:${line}: ${Severity}: ${Message}`);
    errors += Severity === "Error" ? 1 : 0;
  }
}
console.log(`${process.argv.length - 2} queries, ${errors} errors`);
process.exit(errors || process.argv.length < 3 ? 1 : 0);
