import assert from "node:assert/strict";
import { test } from "node:test";

import { FREE_SHIPPING_FROM_CENTS, SHIPPING_CENTS, addToBasket, countItems, totals } from "../src/basket.js";
import { products } from "../src/products.js";

test("adding twice counts twice", () => {
  const basket = addToBasket(addToBasket([], "pen"), "pen");
  assert.equal(countItems(basket), 2);
});

test("nobody can order what is sold out or unknown", () => {
  assert.deepEqual(addToBasket([], "tray"), []);
  assert.deepEqual(addToBasket([], "unicorn"), []);
});

test("nobody can order more than there is", () => {
  const { stock } = products.find((product) => product.id === "lamp");
  let basket = [];
  for (let i = 0; i < stock + 5; i += 1) {
    basket = addToBasket(basket, "lamp");
  }
  assert.equal(countItems(basket), stock);
});

test("a small order pays for shipping", () => {
  assert.equal(totals([{ id: "pen", quantity: 1 }]).shipping, SHIPPING_CENTS);
});

test("a large order is sent free of charge", () => {
  const { goods, shipping, total } = totals([{ id: "lamp", quantity: 2 }]);
  assert.ok(goods >= FREE_SHIPPING_FROM_CENTS);
  assert.equal(shipping, 0);
  assert.equal(total, goods);
});

test("an empty basket costs nothing", () => {
  assert.equal(totals([]).total, 0);
});
