// A runner for rawmm.testing.conformance that knows the bundle and no rules.
//
// node runner.mjs <folder where ajv is installed> <bundle.json>

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [installed, bundle] = process.argv.slice(2);
const Ajv = createRequire(`${installed}/`)("ajv/dist/2020").default;
const ajv = new Ajv({ logger: false });
ajv.addSchema(JSON.parse(readFileSync(bundle, "utf8")), "bundle");

// A missing or unknown field may also be a historical form, or processed data.
const CODES = {
  required: null, additionalProperties: null, type: "wrong_type", enum: "bad_value",
  minimum: "out_of_range", maximum: "out_of_range",
};

/** A JSON pointer into a value as a path: /nodes/0/a as $.nodes[0].a. */
function pathOf(pointer, value) {
  let path = "$";
  for (const part of pointer.split("/").slice(1)) {
    const plain = /^[A-Za-z_]\w*$/.test(part) ? `.${part}` : `[${JSON.stringify(part)}]`;
    path += Array.isArray(value) ? `[${part}]` : plain;
    value = value?.[part];
  }
  return path;
}

/** The verdict, with a code where one keyword refuses: in a union, several members do. */
function verdict(path) {
  const type = path.split("/").at(-3);
  const validate = ajv.getSchema(`bundle#/$defs/${type}`);
  let value;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path));
    value = JSON.parse(text);
  } catch {
    return { ok: false, code: "malformed" };
  }
  if (validate(value)) return { ok: true };
  const [{ keyword, instancePath, params }, ...others] = validate.errors;
  if (others.length || !(keyword in CODES)) return { ok: false };
  const unknown = params.additionalProperty === undefined ? "" : `/${params.additionalProperty}`;
  return { ok: false, code: CODES[keyword], path: pathOf(instancePath + unknown, value) };
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(verdict(line)));
}
