// Starts the emulator on this machine alone, on a free port that it prints; it ends when its standard input does.
import { webcrypto } from "node:crypto";
import net from "node:net";
import path from "node:path";
import { pathToFileURL } from "node:url";

globalThis.crypto ??= webcrypto; // Node 18, which Debian 12 has, hides it
const [packages, ...options] = process.argv.slice(2);
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function onLoopback(...asked) {
  this.once("listening", () => console.log(`port=${this.address().port}`));
  return listen.call(this, 0, "127.0.0.1", ...asked.filter((value) => typeof value === "function"));
};
process.stdin.on("end", () => process.exit()).on("error", () => process.exit()).resume();
process.argv = [process.argv[0], "emulate", "start", "--service", "github", ...options];
await import(pathToFileURL(path.join(packages, "emulate/dist/index.js")));
