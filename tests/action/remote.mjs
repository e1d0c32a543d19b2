// The actions of others that our workflows use, as far as they use them. What an action does not know is refused.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

const git = (folder, ...args) => execFileSync("git", args, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
const copy = (from, to) => { fs.mkdirSync(path.dirname(to), { recursive: true }); execFileSync("cp", ["-a", "-T", from, to]); };
const lines = (words) => (words ?? "").split("\n").map((line) => line.trim()).filter(Boolean);
const truth = (word, otherwise) => (word === undefined || word === "" ? otherwise : word === "true");

/** A clone of the bare repository, at what the event is about unless `ref` says otherwise. */
function checkout({ inputs, world, job, log }) {
  const folder = path.resolve(world.workspace, inputs.path ?? ".");
  if (inputs.repository && inputs.repository !== world.github.repository) throw Error(`no such repository here: ${inputs.repository}`);
  const fork = world.payload.pull_request?.head?.repo?.fork ?? false;
  if (inputs.ref && fork && ["pull_request_target", "workflow_run"].includes(world.github.event_name)) throw Error("Refusing to check out a fork's code in a trusted workflow");
  const ref = inputs.ref || world.github.sha;
  const named = inputs.ref && !/^[0-9a-f]{40}$/.test(ref) && !ref.startsWith("refs/") ? `refs/heads/${ref}` : ref;
  const depth = inputs["fetch-depth"] ?? "1";
  const filter = depth === "0" ? ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"] : [];
  fs.mkdirSync(folder, { recursive: true });
  for (const entry of fs.readdirSync(folder)) fs.rmSync(path.join(folder, entry), { recursive: true, force: true });
  git(folder, "init", "--quiet", "--initial-branch=main");
  git(folder, "remote", "add", "origin", world.remote);
  git(folder, "fetch", "--quiet", "--no-tags", ...(depth === "0" ? [] : [`--depth=${depth}`]), "origin", ...filter, `+${named}:refs/fetched`);
  const branch = /^refs\/heads\/(.*)/.exec(inputs.ref ? named : world.github.ref)?.[1];
  git(folder, "checkout", "--quiet", ...(branch ? ["-B", branch] : ["--detach"]), "refs/fetched");
  git(folder, "update-ref", "-d", "refs/fetched");
  if (truth(inputs["persist-credentials"], true)) {
    const basic = Buffer.from(`x-access-token:${inputs.token || job.token}`).toString("base64");
    git(folder, "config", `http.${world.github.server_url}/.extraheader`, `AUTHORIZATION: basic ${basic}`);
  }
  log(`checked out ${git(folder, "rev-parse", "HEAD")}`);
  return { commit: git(folder, "rev-parse", "HEAD"), ref: inputs.ref || world.github.ref };
}

/** Entries are folders named by their key; the newest is the one that was saved last. */
function cached(world) {
  if (!fs.existsSync(world.cache)) return [];
  const about = fs.readdirSync(world.cache).map((name) => path.join(world.cache, name, "entry.json"));
  return about.map((file) => ({ folder: path.dirname(file), ...JSON.parse(fs.readFileSync(file, "utf8")) })).sort((a, b) => b.number - a.number);
}
function restoreCache({ inputs, world, log }) {
  const paths = lines(inputs.path), entries = cached(world).filter((entry) => String(entry.paths) === String(paths));
  const wanted = [(entry) => entry.key === inputs.key, ...lines(inputs["restore-keys"]).map((prefix) => (entry) => entry.key.startsWith(prefix))];
  const found = wanted.map((matches) => entries.find(matches)).find(Boolean);
  for (const [number, place] of found ? paths.entries() : []) { fs.rmSync(place, { recursive: true, force: true }); copy(path.join(found.folder, String(number)), place); }
  log(found ? `Cache restored from key: ${found.key}` : `Cache not found for input keys: ${inputs.key}`);
  return { "cache-hit": found ? String(found.key === inputs.key) : "", "cache-primary-key": inputs.key, "cache-matched-key": found?.key ?? "" };
}
function saveCache({ inputs, world, log }) {
  const entries = cached(world), paths = lines(inputs.path);
  if (entries.some((entry) => entry.key === inputs.key)) { log("Failed to save: another job may be creating this cache"); return {}; }
  const folder = path.join(world.cache, `${entries.length}`);
  paths.forEach((place, number) => copy(place, path.join(folder, String(number))));
  fs.writeFileSync(path.join(folder, "entry.json"), JSON.stringify({ key: inputs.key, paths, number: entries.length }));
  log(`Cache saved with key: ${inputs.key}`);
  return {};
}

/** The files below what `path` names, without hidden ones unless they are asked for. */
function uploaded(world, inputs) {
  const found = [];
  const hidden = truth(inputs["include-hidden-files"], false);
  const walk = (place) => {
    if (!fs.existsSync(place) || (path.basename(place).startsWith(".") && !hidden)) return;
    if (fs.statSync(place).isDirectory()) fs.readdirSync(place).forEach((name) => walk(path.join(place, name)));
    else found.push(place);
  };
  for (const line of lines(inputs.path)) {
    const place = path.resolve(world.workspace, line), star = path.basename(place);
    if (!/[*?[]/.test(place)) { walk(place); continue; }
    const pattern = new RegExp(`^${star.replace(/[.+^$()|{}[\]\\]/g, "\\$&").replace(/\*/g, ".*")}$`);
    if (fs.existsSync(path.dirname(place))) fs.readdirSync(path.dirname(place)).filter((name) => pattern.test(name)).forEach((name) => walk(path.join(path.dirname(place), name)));
  }
  return found;
}
function uploadArtifact({ inputs, world, log }) {
  const files = uploaded(world, inputs), folder = path.join(world.artifacts, world.github.run_id, inputs.name ?? "artifact");
  if (!files.length) {
    const sentence = `No files were found with the provided path: ${inputs.path}. No artifacts will be uploaded.`;
    if (inputs["if-no-files-found"] === "error") throw Error(sentence);
    log(`${inputs["if-no-files-found"] === "ignore" ? "" : "::warning::"}${sentence}`);
    return {};
  }
  if (fs.existsSync(folder) && !truth(inputs.overwrite, false)) throw Error(`(409) Conflict: an artifact with this name already exists on the workflow run: ${inputs.name}`);
  fs.rmSync(folder, { recursive: true, force: true });
  let top = path.dirname(files[0]); // the least folder that holds them all
  while (!files.every((file) => file.startsWith(top + path.sep))) top = path.dirname(top);
  files.forEach((file) => copy(file, path.join(folder, path.relative(top, file))));
  return { "artifact-id": "1", "artifact-url": `${world.github.server_url}/artifact` };
}
function downloadArtifact({ inputs, world, log }) {
  const run = inputs["run-id"] || world.github.run_id, shelf = path.join(world.artifacts, run);
  if (run !== world.github.run_id && !inputs["github-token"]) throw Error("artifacts of another run need github-token");
  const pattern = new RegExp(`^${(inputs.pattern ?? "*").replace(/[.+^$()|{}[\]\\]/g, "\\$&").replace(/\*/g, ".*")}$`);
  const there = fs.existsSync(shelf) ? fs.readdirSync(shelf) : [];
  const names = inputs.name ? there.filter((name) => name === inputs.name) : there.filter((name) => pattern.test(name));
  if (inputs.name && !names.length) throw Error(`Unable to download artifact(s): Artifact not found for name: ${inputs.name}`);
  const place = path.resolve(world.workspace, inputs.path ?? ".");
  for (const name of names) execFileSync("cp", ["-a", `${path.join(shelf, name)}/.`, makeFolder(inputs.name || truth(inputs["merge-multiple"], false) ? place : path.join(place, name))]);
  log(`Total of ${names.length} artifact(s) downloaded`);
  return { "download-path": place };
}
const makeFolder = (folder) => { fs.mkdirSync(folder, { recursive: true }); return folder; };

/** By name, with the inputs that are known here. */
export const REMOTE = {
  "actions/checkout": { run: checkout, inputs: ["ref", "repository", "path", "token", "fetch-depth", "fetch-tags", "persist-credentials"] },
  "actions/setup-python": { run: () => ({}), inputs: ["python-version", "cache"] },
  "actions/cache/restore": { run: restoreCache, inputs: ["path", "key", "restore-keys"] },
  "actions/cache/save": { run: saveCache, inputs: ["path", "key"] },
  "actions/upload-artifact": { run: uploadArtifact, inputs: ["name", "path", "if-no-files-found", "retention-days", "overwrite", "include-hidden-files"] },
  "actions/download-artifact": { run: downloadArtifact, inputs: ["name", "path", "pattern", "merge-multiple", "run-id", "github-token"] },
};
