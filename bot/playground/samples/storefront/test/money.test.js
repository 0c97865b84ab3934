import assert from "node:assert/strict";
import { test } from "node:test";

import { formatPrice } from "../src/money.js";

test("cents become a price", () => {
  assert.equal(formatPrice(1450), "€14.50");
  assert.equal(formatPrice(0), "€0.00");
});

test("half a cent is refused", () => {
  assert.throws(() => formatPrice(10.5), TypeError);
});
