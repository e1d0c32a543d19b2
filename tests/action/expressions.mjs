// Reads workflows and actions, and works out their expressions, with GitHub's own parser and evaluator.
import { load } from "./packages.mjs";

const { Lexer, Parser, Evaluator, data, wellKnownFunctions } = await load("@actions/expressions/dist/index.js");
const PARSER = "@actions/workflow-parser/dist";
const { NoOperationTraceWriter } = await load(`${PARSER}/templates/trace-writer.js`);
const { parseAction } = await load(`${PARSER}/actions/action-parser.js`);
const { parseWorkflow } = await load(`${PARSER}/workflows/workflow-parser.js`);
const { convertWorkflowTemplate } = await load(`${PARSER}/model/convert.js`);
const { convertToIfCondition } = await load(`${PARSER}/model/converter/if-condition.js`);
const is = await load(`${PARSER}/templates/tokens/type-guards.js`);

/** A file that GitHub would take, as tokens; one that it would refuse is an error that names every fault. */
async function read(parse, name, content) {
  const { context, value } = parse({ name, content }, new NoOperationTraceWriter());
  const events = parse === parseWorkflow && value ? (await convertWorkflowTemplate(context, value)).events : undefined;
  const faults = context.errors.getErrors().map((fault) => fault.message);
  if (faults.length) throw Error(`${name}: ${faults.join("; ")}`);
  return { context, value, events };
}
export const readWorkflow = (name, content) => read(parseWorkflow, name, content);
export const readAction = (name, content) => read(parseAction, name, content);

/** What stands below *keys* in a mapping; undefined where nothing does. */
export const at = (token, ...keys) => keys.reduce((found, key) => found?.find(key), token);
export const items = (token) => (token ? [...token] : []);

const EMBEDDED = /\$\{\{((?:'(?:[^']|'')*'|[^'])*?)\}\}/g;
const plain = (value) => JSON.parse(JSON.stringify(value, data.replacer));

/** The outcome of an expression; *status* says what has failed, was skipped or was cancelled before. */
function outcome(expression, contexts, status = {}) {
  const { failed = false, skipped = false, cancelled = false } = status;
  const answers = { success: !failed && !skipped && !cancelled, failure: failed, always: true, cancelled };
  const functions = Object.entries(answers).map(([name, value]) => (
    { name, minArgs: 0, maxArgs: 0, call: () => new data.BooleanData(value) }));
  const names = Object.keys(contexts);
  const tree = new Parser(new Lexer(expression).lex().tokens, names, [...functions, ...Object.values(wellKnownFunctions)]).parse();
  const known = JSON.parse(JSON.stringify(contexts), data.reviver);
  return new Evaluator(tree, known, new Map(functions.map((each) => [each.name, each]))).evaluate();
}

/** What *token* stands for: a scalar, a list or an object. */
export function value(token, contexts, status) {
  if (!token) return undefined;
  if (is.isBasicExpression(token)) return plain(outcome(token.expression, contexts, status));
  if (is.isSequence(token)) return items(token).map((item) => value(item, contexts, status));
  if (is.isMapping(token)) return Object.fromEntries(items(token).map((pair) => [String(pair.key), value(pair.value, contexts, status)]));
  return is.isScalar(token) && "value" in token ? token.value : null;
}

/** What *token* is as a string, by GitHub's rules: null is empty. */
export function text(token, contexts, status) {
  if (!token) return "";
  // Text around expressions is put together here: the package makes one call of format() of it, and loses quotes.
  if (is.isBasicExpression(token) && token.originalExpressions?.length) {
    return token.source.replace(EMBEDDED, (_, inner) => outcome(inner.trim(), contexts, status).coerceString());
  }
  if (is.isBasicExpression(token)) return outcome(token.expression, contexts, status).coerceString();
  const found = value(token, contexts, status);
  return found === null || found === undefined ? "" : String(found);
}
export const texts = (token, contexts, status) =>
  Object.fromEntries(items(token).map((pair) => [String(pair.key), text(pair.value, contexts, status)]));

/** Whether an `if:` holds; without one, and where it asks for no status, everything before must have succeeded. */
export function holds(file, token, contexts, status) {
  const expression = token ? convertToIfCondition(file.context, token).expression : "success()";
  const { kind, value: found } = outcome(expression, contexts, status);
  return !(kind === data.Kind.Null || found === false || found === "" || found === 0 || Number.isNaN(found));
}
