// What Azurite does in a time that grows with what it holds, done in less: nothing is answered otherwise than before.
// The paths are within the package that is to be run.
const path = require("path");
const { createRequire } = require("module");

const azurite = createRequire(path.resolve(process.argv[1]));

// Each minute it sweeps away what deleted messages leave behind, in a time that grows with their number squared, and
// answers nobody meanwhile: after some ten thousand messages that is a minute. Here it sweeps once a day instead. The
// setting is read when its queue service is made.
azurite("./queue/utils/constants").DEFAULT_GC_INTERVAL_MS = 24 * 60 * 60 * 1000;

// For each query it goes through the whole table. Here a query of one partition begins with the partition's rows, by the
// index that the table has; what it then asks of each row stays as it is.
const store = azurite("./table/persistence/LokiTableMetadataStore").default.prototype;
const query = store.queryTableEntities;
store.queryTableEntities = function (context, account, table, options, ...rest) {
  const named = /^PartitionKey eq '([^']*)'(?: and (?!.*\b(?:or|not)\b).*)?$/s.exec(options.filter || "");
  const rows = named && this.getEntityCollection(account, table, context);
  if (rows) {
    rows.chain = () => Object.getPrototypeOf(rows).chain.call(rows).find({ PartitionKey: named[1] });
  }
  try {
    return query.call(this, context, account, table, options, ...rest); // it takes its rows before it first waits
  } finally {
    if (rows) {
      delete rows.chain;
    }
  }
};

// For each row that is named by its keys it goes through the row's partition. Here it goes through the rows of the key
// that fewer have: its tables have an index of either key.
const collection = azurite("lokijs").Collection.prototype;
const findOne = collection.findOne;
collection.findOne = function (wanted) {
  const { PartitionKey, RowKey } = wanted;
  if (PartitionKey === undefined || RowKey === undefined) {
    return findOne.call(this, wanted); // not of a table's rows
  }
  const having = (key, value) => {
    const [first, last] = this.calculateRange("$eq", key, value);
    return last - first;
  };
  const rowFirst = having("RowKey", RowKey) < having("PartitionKey", PartitionKey);
  return findOne.call(this, rowFirst ? { RowKey, PartitionKey } : { PartitionKey, RowKey });
};
