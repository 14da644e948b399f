// Each minute Azurite sweeps away what deleted messages leave behind, in a time that grows with their number squared, and
// answers nobody meanwhile: after some ten thousand messages that is a minute. Here it sweeps once a day instead.
// The path is within the package that is to be run; the setting is read when its queue service is made.
const path = require("path");
const { createRequire } = require("module");

const azurite = createRequire(path.resolve(process.argv[1]));
azurite("./queue/utils/constants").DEFAULT_GC_INTERVAL_MS = 24 * 60 * 60 * 1000;
