import assert from "node:assert/strict";
import { test } from "node:test";

import { renderHeader } from "../src/header.js";

test("the header names the shop", () => {
  assert.match(renderHeader(), /to Acme</);
});

test("the header greets a shopper by name", () => {
  assert.match(renderHeader({ shopper: "Ada" }), /back, Ada</);
});

test("the header shows how much is in the basket", () => {
  assert.match(renderHeader({ itemCount: 3 }), /badge">3</);
});

test("a shopper's name cannot bring markup along", () => {
  assert.doesNotMatch(renderHeader({ shopper: "<b>Ada</b>" }), /<b>/);
});
