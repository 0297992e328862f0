import assert from "node:assert/strict";
import { test } from "node:test";

import { routes } from "../src/routes.js";

test("the routes answer", () => {
  assert.deepEqual(routes("GET", "/"), [200, "hello from {{ name }}\n"]);
  assert.equal(routes("GET", "/missing")[0], 404);
});
