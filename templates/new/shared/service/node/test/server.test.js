import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import { serve, withOperations } from "../src/server.js";

const missing = () => [404, "not found\n"];

test("health and metrics are answered", async () => {
  let problem;
  const routes = withOperations(missing, () => problem);
  assert.deepEqual(await routes("GET", "/healthz"), [200, "ok\n"]);
  assert.match((await routes("GET", "/metrics"))[1], /\n{{ metric }} /);
  problem = "broken";
  assert.deepEqual(await routes("GET", "/healthz"), [503, "broken"]);
});

test("it answers until it is asked to stop", async () => {
  const server = await serve(withOperations(missing), 0);
  const answer = await fetch(`http://127.0.0.1:${server.address().port}/missing`);
  assert.equal(answer.status, 404);
  await answer.text();
  process.emit("SIGTERM");
  await once(server, "close");
});
