import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { Store } from "../src/store.js";

test("a value is kept", async () => {
  const folder = await mkdtemp(join(tmpdir(), "{{ name }}-"));
  const store = new Store(folder);
  const ask = async (method, body = "") => {
    const [status, answer] = await store.routes(method, "/keys/../a", Buffer.from(body));
    return [status, String(answer)];
  };
  assert.equal((await ask("GET"))[0], 404);
  assert.equal((await ask("PUT", "one"))[0], 204);
  assert.equal((await ask("PUT", "two"))[0], 204);
  assert.deepEqual(await ask("GET"), [200, "two"]);
  assert.equal((await ask("DELETE"))[0], 204);
  assert.equal((await ask("GET"))[0], 404);
  assert.equal(store.problem(), undefined);
  await rm(folder, { recursive: true });
  assert.ok(store.problem());
});
