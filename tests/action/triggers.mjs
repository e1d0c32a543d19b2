// Whether an event starts a workflow: its name, its activity, and the branch or tag.

// What starts a workflow whose `on:` names no types; other events start it with any.
const TYPES = { pull_request: ["opened", "synchronize", "reopened"], pull_request_target: ["opened", "synchronize", "reopened"] };

const pattern = (glob) => new RegExp(`^${glob.replace(/^!/, "").replace(/[.^$()|{}\\]/g, "\\$&").replace(/\*\*/g, "\0").replace(/\*/g, "[^/]*").replace(/\0/g, ".*")}$`);

/** Whether *name* is among *globs*; the last that matches decides, and one that begins with "!" says no. */
const among = (globs, name) => globs.reduce((said, glob) => (pattern(glob).test(name) ? !glob.startsWith("!") : said), false);

/** *events* is the `on:` of a workflow, as GitHub's parser gives it. */
export function isTriggered(events, name, payload, github) {
  if (!(name in events)) return false;
  const filter = events[name] ?? {};
  if (name === "schedule") return true;
  if (filter.paths || filter["paths-ignore"]) throw Error("paths: is more than is known here");
  const types = filter.types?.length ? filter.types : TYPES[name];
  if (types && payload.action && !types.includes(payload.action)) return false;
  if (name === "workflow_run") return !filter.workflows || filter.workflows.includes(payload.workflow_run.name);
  if (name === "push") return isPushed(filter, github);
  const branch = { pull_request: payload.pull_request?.base?.ref, merge_group: payload.merge_group?.base_ref?.replace("refs/heads/", "") }[name];
  return !filter.branches || branch === undefined || among(filter.branches, branch);
}

/** A push of a tag does not start a workflow that names branches alone, nor the other way round. */
function isPushed(filter, github) {
  const kind = github.ref_type === "tag" ? "tags" : "branches", other = kind === "tags" ? "branches" : "tags";
  if (filter[`${kind}-ignore`]) return !among(filter[`${kind}-ignore`], github.ref_name);
  if (filter[kind]) return among(filter[kind], github.ref_name);
  return !filter[other] && !filter[`${other}-ignore`];
}
