import assert from "node:assert/strict";
import { test } from "node:test";

import { run } from "../src/task.js";

test("all items are processed", async () => {
  assert.equal(await run(["a", "b"], new AbortController().signal), 2);
});

test("it stops between items", async () => {
  assert.equal(await run(["a"], AbortSignal.abort()), 0);
});
