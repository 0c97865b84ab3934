import assert from "node:assert/strict";
import { test } from "node:test";

import { CONTACT, OPENING_HOURS, renderFooter } from "../src/footer.js";

test("the footer says when we are there and how to write to us", () => {
  const footer = renderFooter({ year: 2026 });
  assert.ok(footer.includes(OPENING_HOURS));
  assert.ok(footer.includes(`mailto:${CONTACT}`));
});

test("the footer carries the year it is given", () => {
  assert.ok(renderFooter({ year: 2031 }).includes("© 2031"));
});
