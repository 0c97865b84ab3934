import assert from "node:assert/strict";
import { test } from "node:test";

import { renderProductCard } from "../src/product-card.js";

const lamp = { id: "lamp", name: "Task lamp", description: "Warm light.", priceCents: 6900, stock: 2 };

test("a card shows name and price", () => {
  const card = renderProductCard(lamp);
  assert.ok(card.includes("Task lamp"));
  assert.ok(card.includes("€69.00"));
});

test("what is in stock can be added to the basket", () => {
  assert.match(renderProductCard(lamp), /data-add="lamp"/);
  assert.doesNotMatch(renderProductCard(lamp), /disabled/);
});

test("what is sold out says so and cannot be added", () => {
  const card = renderProductCard({ ...lamp, stock: 0 });
  assert.match(card, /disabled/);
  assert.match(card, /Sold out/);
});
