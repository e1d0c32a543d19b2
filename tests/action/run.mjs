#!/usr/bin/env node
// Runs a workflow file as GitHub and its runner do, step by step, and writes down what came of it.
//
//   node run.mjs <order.json> <result.json>
//
// Parsing, conditions and expressions are GitHub's own packages (expressions.mjs). The actions of others that ours works
// with are played by remote.mjs; any other is refused, as are containers, services and reusable workflows. Jobs run one
// after the other, in the order of `needs`, and nobody reviews an environment first; `concurrency` and `timeout-minutes` are read and not acted on.
//
// The order: workflow, content, event, payload, github (the context), remote (a bare repository), home, workspace,
// temporary, cache and artifacts (folders), keep (the temporary one is not emptied between jobs), released ({name:
// folder}), environment (of the runner), token, tokens ({job: token}), secrets, vars, cancelled.
import { spawnSync } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { at, holds, items, readAction, readWorkflow, text, texts, value } from "./expressions.mjs";
import { REMOTE } from "./remote.mjs";
import { isTriggered } from "./triggers.mjs";

const LIMITS = { annotations: 10, summary: 1024 * 1024 }; // a step; annotations of each level
const SHELLS = {
  "": (script) => ["bash", "-e", script],
  bash: (script) => ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", script],
  sh: (script) => ["sh", "-e", script],
};
const order = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const result = { triggered: false, jobs: {}, remote: [], summary: "", annotations: [], dropped: 0, log: "" };
const masks = new Set(Object.values({ ...order.secrets, ...order.tokens, token: order.token }).filter(Boolean));
const masked = (words) => [...masks].reduce((seen, mask) => seen.split(mask).join("***"), words);
const say = (line) => { result.log += `${masked(line)}\n`; };

// ---- what a step says ------------------------------------------------------------------------------------------------
const unescaped = (words) => words.replace(/%0D/gi, "\r").replace(/%0A/gi, "\n").replace(/%25/g, "%");
const property = (words) => unescaped(words.replace(/%3A/gi, ":").replace(/%2C/gi, ","));

/** Obey the commands among the lines that a step has printed. */
function listen(words, place) {
  const counts = {};
  let stopped = "";
  for (const line of words.split(/\r?\n/)) {
    const command = /^\s*::([a-z-]+)(?: (.*?))?::(.*)$/i.exec(line);
    if (stopped || !command) {
      if (stopped && line.trim() === `::${stopped}::`) stopped = "";
      if (line) say(line);
      continue;
    }
    const [, name, properties = "", message] = command;
    if (name === "add-mask") { masks.add(unescaped(message)); continue; }
    if (name === "stop-commands") stopped = message;
    else if (["error", "warning", "notice"].includes(name)) annotate(name, properties, message, place, counts);
    else if (["set-output", "save-state", "set-env", "add-path"].includes(name)) throw Error(`the command ${name} is gone`);
    say(line);
  }
}

function annotate(level, properties, message, place, counts = {}) {
  counts[level] = (counts[level] ?? 0) + 1;
  if (counts[level] > LIMITS.annotations) { result.dropped += 1; return; }
  const pairs = properties.split(",").filter(Boolean).map((pair) => [pair.slice(0, pair.indexOf("=")), property(pair.slice(pair.indexOf("=") + 1))]);
  result.annotations.push({ level, ...Object.fromEntries(pairs), message: masked(unescaped(message)), ...place });
}

/** `name=value` and `name<<END` with lines up to END, as the runner reads them and with its complaints. */
export function readPairs(content) {
  const found = {}, all = content.split(/\r?\n/);
  for (let number = 0; number < all.length; number += 1) {
    const line = all[number];
    if (!line) continue;
    const equals = line.indexOf("="), heredoc = line.indexOf("<<");
    if (equals > 0 && (heredoc < 0 || equals < heredoc)) { found[line.slice(0, equals)] = line.slice(equals + 1); continue; }
    if (heredoc <= 0 || !line.slice(heredoc + 2)) throw Error(`Invalid format '${line}'`);
    const end = line.slice(heredoc + 2), first = number + 1;
    do number += 1; while (number < all.length && all[number] !== end);
    if (number >= all.length) throw Error(`Invalid value. Matching delimiter not found '${end}'`);
    found[line.slice(0, heredoc)] = all.slice(first, number).join("\n");
  }
  return found;
}

// ---- steps -----------------------------------------------------------------------------------------------------------
/** Run a script in its shell, and take in the files that it wrote. */
function runScript(step, scope, job, environment, place) {
  const names = ["OUTPUT", "ENV", "PATH", "STEP_SUMMARY", "STATE"];
  const files = Object.fromEntries(names.map((name) => [name, path.join(order.commands, `${name}_${crypto.randomUUID()}`)]));
  Object.values(files).forEach((file) => fs.writeFileSync(file, ""));
  const contexts = scope.contexts(environment), shell = text(at(step, "shell"), contexts, scope.status) || scope.defaults.shell;
  if (!(shell in SHELLS)) throw Error(`no such shell here: ${shell}`);
  const script = path.join(order.commands, `${crypto.randomUUID()}.sh`);
  fs.writeFileSync(script, text(at(step, "run"), contexts, scope.status));
  const folder = text(at(step, "working-directory"), contexts, scope.status) || scope.defaults["working-directory"];
  const [command, ...words] = SHELLS[shell](script);
  const variables = { ...job.base, ...environment, ...Object.fromEntries(names.map((name) => [`GITHUB_${name}`, files[name]])) };
  if (scope.action) variables.GITHUB_ACTION_PATH = scope.action;
  variables.PATH = [...job.paths].reverse().concat(environment.PATH ?? job.base.PATH).join(":");
  const done = spawnSync("sh", ["-c", 'exec "$@" 2>&1', "sh", command, ...words], {
    cwd: path.resolve(order.workspace, folder), env: variables, input: "", encoding: "utf8", maxBuffer: 2 ** 28 });
  listen(done.stdout ?? "", place);
  if (done.error) throw done.error;
  for (const [name, found] of Object.entries(readPairs(fs.readFileSync(files.ENV, "utf8")))) {
    if (/^(GITHUB_|RUNNER_)/.test(name) || name === "NODE_OPTIONS") throw Error(`Can't store ${name} output parameter using '$GITHUB_ENV' command.`);
    job.environment[name] = found;
  }
  job.paths.push(...fs.readFileSync(files.PATH, "utf8").split("\n").filter(Boolean));
  const summary = fs.readFileSync(files.STEP_SUMMARY);
  if (summary.length <= LIMITS.summary) result.summary += masked(summary.toString());
  else annotate("error", "", `$GITHUB_STEP_SUMMARY upload aborted, supports content up to a size of 1024k, got ${Math.ceil(summary.length / 1024)}k`, place);
  const outputs = readPairs(fs.readFileSync(files.OUTPUT, "utf8"));
  if (done.status) say(`##[error]Process completed with exit code ${done.status}.`);
  return { failed: done.status !== 0, outputs };
}

/** Run another action: one in the checkout, a released one that is at hand, or one that remote.mjs plays. */
async function runAction(step, scope, job, environment, place) {
  const uses = text(at(step, "uses")), inputs = texts(at(step, "with"), scope.contexts(environment), scope.status);
  const folder = uses.startsWith("./") ? path.resolve(order.workspace, uses) : order.released[uses];
  if (folder) return runComposite(folder, inputs, job, environment, place);
  const [name, version] = uses.split("@"), known = REMOTE[name];
  result.remote.push({ uses, with: inputs, job: place.job });
  if (!known || !version) throw Error(`this action is not known here: ${uses}`);
  const strange = Object.keys(inputs).filter((input) => !known.inputs.includes(input));
  if (strange.length) throw Error(`${name} with ${strange} is more than is known here`);
  const said = [], outputs = known.run({ inputs, world: order, job, log: (line) => said.push(line) });
  listen(said.join("\n"), place);
  return { failed: false, outputs };
}

async function runComposite(folder, given, job, environment, place) {
  const file = path.join(folder, "action.yml"), action = await readAction(file, fs.readFileSync(file, "utf8"));
  const declared = items(at(action.value, "inputs")), inputs = {};
  const github = { ...job.github, action_path: folder };
  const outside = { github, strategy: job.strategy, matrix: job.matrix, job: {}, runner: job.runner };
  for (const input of declared) inputs[input.key] = given[input.key] ?? text(at(input.value, "default"), outside);
  for (const name of Object.keys(given)) if (!(name in inputs)) annotate("warning", "", `Unexpected input(s) '${name}'`, place);
  const contexts = (variables) => ({ ...outside, github, inputs, steps: scope.steps, env: { ...job.environment, ...environment, ...variables }, job: { status: scope.status.failed ? "failure" : "success" } });
  const scope = { file: action, action: folder, steps: {}, status: { failed: false, cancelled: false }, defaults: { shell: "none", "working-directory": "." }, contexts };
  await runSteps(at(action.value, "runs", "steps"), scope, job, environment, place);
  const outputs = Object.fromEntries(items(at(action.value, "outputs")).map((output) => [String(output.key), text(at(output.value, "value"), contexts({}))]));
  return { failed: scope.status.failed, outputs };
}

async function runSteps(steps, scope, job, outer, place) {
  for (const [number, step] of items(steps).entries()) {
    const id = text(at(step, "id")) || `__${number}`;
    const before = scope.contexts({});
    const started = performance.now();
    const name = text(at(step, "name"), before, scope.status) || text(at(step, "uses")) || String(at(step, "run")).split("\n")[0];
    if (!holds(scope.file, at(step, "if"), before, scope.status)) {
      note({ outputs: {}, outcome: "skipped", conclusion: "skipped" });
      continue;
    }
    say(`##[group]${name}`);
    let done;
    try {
      const environment = { ...job.environment, ...outer, ...texts(at(step, "env"), before, scope.status) };
      done = await (at(step, "uses") ? runAction : runScript)(step, scope, job, environment, { ...place, step: name });
    } catch (fault) {
      say(`##[error]${fault.message}`);
      annotate("error", "", fault.message, { ...place, step: name });
      done = { failed: true, outputs: {} };
    }
    const goesOn = value(at(step, "continue-on-error"), scope.contexts({}), scope.status) === true;
    note({ outputs: done.outputs, outcome: done.failed ? "failure" : "success", conclusion: done.failed && !goesOn ? "failure" : "success" });
    scope.status.failed ||= done.failed && !goesOn;

    function note(outcome) {
      scope.steps[id] = outcome;
      result.jobs[place.job].steps.push({ name, outcome: outcome.outcome, conclusion: outcome.conclusion, seconds: (performance.now() - started) / 1000, ...(scope.action ? { action: scope.action } : {}) });
    }
  }
}

// ---- jobs ------------------------------------------------------------------------------------------------------------
/** The cells of a matrix: the product of its lists, without what `exclude` names, with what `include` adds. */
function cells(matrix) {
  if (!matrix) return [null];
  const { include = [], exclude = [], ...lists } = matrix;
  const agrees = (cell, other, keys) => keys.every((key) => JSON.stringify(cell[key]) === JSON.stringify(other[key]));
  let found = Object.keys(lists).length ? [{}] : [];
  for (const [key, values] of Object.entries(lists)) found = found.flatMap((cell) => values.map((each) => ({ ...cell, [key]: each })));
  found = found.filter((cell) => !exclude.some((other) => agrees(cell, other, Object.keys(other))));
  const originals = found.map((cell) => ({ ...cell }));
  for (const extra of include) {
    const shared = Object.keys(extra).filter((key) => key in lists);
    const matching = found.filter((_, number) => originals[number] && agrees(originals[number], extra, shared));
    if (matching.length) matching.forEach((cell) => Object.assign(cell, extra));
    else found.push({ ...extra });
  }
  return found;
}

async function runCell(file, job, id, needs, matrix, strategy) {
  const root = file.value, token = order.tokens?.[id] ?? order.token;
  fs.mkdirSync(order.temporary, { recursive: true });
  if (!order.keep) for (const name of fs.readdirSync(order.temporary)) fs.rmSync(path.join(order.temporary, name), { recursive: true, force: true });
  fs.rmSync(order.workspace, { recursive: true, force: true });
  fs.mkdirSync(order.workspace);
  const github = { ...order.github, event: order.payload, token, job: id, workspace: order.workspace };
  const runner = { os: "Linux", arch: "X64", temp: order.temporary, tool_cache: path.join(order.temporary, "_tools"), name: "local", environment: "github-hosted" };
  const shared = { github, inputs: order.payload.inputs ?? {}, vars: order.vars ?? {}, needs, strategy, matrix, secrets: { ...order.secrets, GITHUB_TOKEN: token } };
  const environment = { ...texts(at(root, "env"), shared), ...texts(at(job, "env"), shared) };
  const settings = Object.entries(github).filter(([, known]) => typeof known === "string").filter(([name]) => name !== "token");
  const base = { ...order.environment, CI: "true", GITHUB_ACTIONS: "true", RUNNER_OS: runner.os, RUNNER_ARCH: runner.arch, RUNNER_TEMP: runner.temp,
    ...Object.fromEntries(settings.map(([name, known]) => [`GITHUB_${name.toUpperCase()}`, known])) };
  const here = { github, matrix, strategy, runner, token, environment, base, paths: [] };
  const inherited = { ...texts(at(root, "defaults", "run"), shared), ...texts(at(job, "defaults", "run"), shared) };
  const contexts = (variables) => ({ ...shared, env: { ...here.environment, ...variables }, steps: scope.steps, runner, job: { status: scope.status.failed ? "failure" : "success" } });
  const scope = { file, steps: {}, status: { failed: false, cancelled: false }, defaults: { shell: "", "working-directory": ".", ...inherited }, contexts };
  await runSteps(at(job, "steps"), scope, here, {}, { job: id });
  const outputs = texts(at(job, "outputs"), contexts({}));
  for (const [name, words] of Object.entries(outputs)) if (words !== masked(words)) outputs[name] = ""; // as the runner does with secrets
  return { failed: scope.status.failed, outputs };
}

async function runJob(file, id, job) {
  const wanted = value(at(job, "needs")) ?? [], needs = {};
  for (const name of [].concat(wanted)) needs[name] = { result: result.jobs[name].result, outputs: result.jobs[name].outputs };
  const permissions = value(at(job, "permissions") ?? at(file.value, "permissions")) ?? null;
  const noted = (result.jobs[id] = { result: "skipped", outputs: {}, permissions, steps: [], cells: 0, environment: "" });
  const contexts = { github: { ...order.github, event: order.payload }, inputs: order.payload.inputs ?? {}, vars: order.vars ?? {}, needs };
  const before = Object.values(needs).map((need) => need.result);
  // A job that needs a skipped one is skipped as well, unless its own condition says otherwise.
  const status = { failed: before.includes("failure"), skipped: before.includes("skipped"), cancelled: Boolean(order.cancelled) };
  if (!holds(file, at(job, "if"), contexts, status)) return;
  const named = value(at(job, "environment"), contexts) ?? "";
  noted.environment = named.name ?? named;
  for (const key of ["container", "services", "uses"]) if (at(job, key)) throw Error(`${id}: ${key} is more than is known here`);
  const all = cells(value(at(job, "strategy", "matrix"), contexts));
  noted.result = "success";
  for (const [number, matrix] of all.entries()) {
    const strategy = { "fail-fast": true, "job-index": number, "job-total": all.length, "max-parallel": all.length };
    const done = await runCell(file, job, id, needs, matrix, strategy);
    noted.cells += 1;
    Object.assign(noted.outputs, done.outputs);
    if (done.failed) noted.result = "failure";
  }
}

const file = await readWorkflow(order.workflow, order.content);
result.triggered = isTriggered(file.events, order.event, order.payload, order.github);
order.commands = path.join(order.home, "_runner_file_commands");
fs.mkdirSync(order.commands, { recursive: true });
const waiting = new Map(items(at(file.value, "jobs")).map((pair) => [String(pair.key), pair.value]));
while (result.triggered && waiting.size) {
  const ready = [...waiting].find(([, job]) => [].concat(value(at(job, "needs")) ?? []).every((name) => result.jobs[name] && !waiting.has(name)));
  if (!ready) throw Error("jobs that need each other");
  await runJob(file, ...ready);
  waiting.delete(ready[0]);
}
fs.writeFileSync(process.argv[3], JSON.stringify(result));
