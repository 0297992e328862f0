import assert from "node:assert/strict";
import { test } from "node:test";

import { counters } from "../src/server.js";
import { PATIENCE, Worker } from "../src/worker.js";

test("an item is processed", async () => {
  const worker = new Worker();
  worker.last -= PATIENCE + 1;
  assert.ok(worker.problem());
  await worker.process();
  assert.equal(counters.items, 1);
  assert.equal(worker.problem(), undefined);
});

test("it stops when it is asked to", () => new Worker().run(AbortSignal.abort()));
