// The generated types, in TypeScript's strict mode, against the vectors.
//
// node vectors.mjs <folder with typescript> <what `python -m tests.integrations.ajv` wrote>
//
// The types compile. Every valid vector has its type. Of the invalid ones with an error that types
// can express, none has; 1.0 for an integer is no such error, as TypeScript has no integers.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const [installed, shipped] = process.argv.slice(2);
const ts = createRequire(`${installed}/`)("typescript");
const types = fileURLToPath(
  new URL("../../../src/rawmm/_generated/v1/types.d.ts", import.meta.url),
);
const EXPRESSIBLE = new Set([
  "wrong_type", "missing_field", "unknown_field", "unknown_tag", "bad_value",
]);

/** A vector whose document is JSON, as one line of a program. */
function line({ type, document }, index) {
  return `const v${index}: T.${type} = ${JSON.stringify(JSON.parse(document))};`;
}

function isJson({ document }) {
  try {
    JSON.parse(document);
    return true;
  } catch {
    return false;
  }
}

const vectors = JSON.parse(readFileSync(shipped, "utf8")).vectors.filter(isJson);
const folder = mkdtempSync(join(tmpdir(), "rawmm-types-"));
const program = join(folder, "vectors.ts");
writeFileSync(join(folder, "types.d.ts"), readFileSync(types));
writeFileSync(program, ['import type * as T from "./types";', ...vectors.map(line)].join("\n"));
const compiled = ts.createProgram([program], {
  strict: true, noEmit: true, skipLibCheck: false, types: [], target: ts.ScriptTarget.ES2022,
  lib: ["lib.es2022.d.ts"],
});
const refused = new Set();
const failures = [];
for (const { file, start, messageText } of ts.getPreEmitDiagnostics(compiled)) {
  const text = ts.flattenDiagnosticMessageText(messageText, "\n");
  if (file?.fileName !== program) failures.push(`${file?.fileName ?? "options"}: ${text}`);
  else refused.add(file.getLineAndCharacterOfPosition(start).line - 1);
}
rmSync(folder, { recursive: true });

let expressible = 0;
vectors.forEach(({ case: name, code, beyond_schema: mark }, index) => {
  if (code === undefined) {
    if (refused.has(index)) failures.push(`${name}: refused`);
  } else if (EXPRESSIBLE.has(code) && mark === undefined) {
    expressible += 1;
    if (!refused.has(index)) failures.push(`${name}: has the type although it is ${code}`);
  }
});

const counts = [vectors.length, refused.size, expressible];
console.log(`typescript ${ts.version}: ${counts[0]} vectors, ${counts[1]} refused, ${counts[2]} must be`);
for (const failure of failures) console.error(failure);
process.exitCode = failures.length || !expressible ? 1 : 0;
