// Finds the npm packages of `./dev`, wherever node was started from; PACKAGES may name another folder.
import fs from "node:fs";
import { register } from "node:module";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const FOLDER = process.env.PACKAGES ?? fileURLToPath(new URL("../../.venv/node/node_modules", import.meta.url));

// GitHub's packages import JSON as bundlers let them; node wants to be told how.
const LOADER = `
import fs from "node:fs";
export const load = async (url, context, next) => !url.endsWith(".json") ? next(url, context)
  : { format: "module", shortCircuit: true, source: "export default " + fs.readFileSync(new URL(url), "utf8") };`;
register("data:text/javascript," + encodeURIComponent(LOADER));

/** The module at *file*, which begins with the name of its package. */
export const load = (file) => import(pathToFileURL(path.join(FOLDER, file)));
