import { run } from "./task.js";

const stopped = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => stopped.abort());
const items = ["first", "second"];
const done = await run(items, stopped.signal);
console.log(`${done} of ${items.length} items are done`);
// The exit code tells Kubernetes to run an interrupted task again.
process.exitCode = done === items.length ? 0 : 1;
