// The schemas and vectors in ajv's default (strict) mode.
//
// node vectors.mjs <folder where ajv is installed> <what `python -m tests.integrations.ajv` wrote>
//
// Every schema compiles without an error or a warning. Every valid vector is accepted, and of the
// invalid ones exactly those that their manifest entry marks as beyond_schema.

import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const [installed, shipped] = process.argv.slice(2);
const require = createRequire(`${installed}/`);
const Ajv = require("ajv/dist/2020").default;
const { version } = require("ajv/package.json");

const failures = [];

/** Compiles in default mode; what ajv only warns of is a failure, too. */
function compiled(name, schema, others = {}) {
  const warn = (message) => failures.push(`${name}: ${message}`);
  const ajv = new Ajv({ schemas: others, logger: { log: warn, warn, error: warn } });
  try {
    return ajv.compile(schema);
  } catch (error) {
    failures.push(`${name}: ${error.message}`);
    return () => false;
  }
}

const folder = fileURLToPath(new URL("../../../schemas/v1/", import.meta.url));
const files = {};
for (const name of readdirSync(folder).filter((name) => name.endsWith(".schema.json"))) {
  files[name] = JSON.parse(readFileSync(folder + name, "utf8"));
}
for (const name of Object.keys(files)) {
  const validate = compiled(name, { $ref: name }, files);
  for (const garbage of [{}, [], null, 1, "x", { a: 1 }, [{}], { nodes: 1 }]) {
    if (validate(garbage)) failures.push(`${name}: accepts ${JSON.stringify(garbage)}`);
  }
}

const { schemas, vectors, released } = JSON.parse(readFileSync(shipped, "utf8"));
const validators = {};
for (const [name, schema] of Object.entries(schemas)) validators[name] = compiled(name, schema);

/** A document, or undefined if it is not JSON. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

for (const { type, case: name, document, code, beyond_schema: mark } of vectors) {
  const value = parsed(document);
  const accepted = value !== undefined && validators[type](value);
  const expected = code === undefined || mark !== undefined;
  if (accepted === expected) continue;
  const should = mark === undefined ? "" : ` although it is beyond the schema (${mark})`;
  failures.push(`${name}: ${accepted ? "accepted" : "refused"}${should}`);
}

// Each valid document of an earlier version, by the released bundle and by today's.
let old = 0;
for (const [version, { definitions, valid }] of Object.entries(released)) {
  const ajv = new Ajv({ strict: false });
  ajv.addSchema({ $defs: definitions }, "released");
  for (const [name, document] of Object.entries(valid)) {
    const type = name.split("/")[0];
    const today = validators[type === "ContentPart" ? "MessagePart" : type];
    const value = JSON.parse(document);
    const then = ajv.getSchema(`released#/$defs/${type}`);
    if (!then(value)) failures.push(`${version} ${name}: refused`);
    if (!today(value)) failures.push(`${version} ${name}: refused today`);
    old += 1;
  }
}

const counts = [Object.keys(files).length, Object.keys(schemas).length, vectors.length];
console.log(`ajv ${version}: ${counts[0]} files, ${counts[1]} schemas, ${counts[2]} vectors`);
console.log(`and ${old} documents of earlier versions`);
for (const failure of failures) console.error(failure);
process.exitCode = failures.length || [...counts, old].includes(0) ? 1 : 0;
