import { findProduct } from "./products.js";

/** Orders from this amount on are sent free of charge. */
export const FREE_SHIPPING_FROM_CENTS = 5000;
export const SHIPPING_CENTS = 490;

/** A new basket with one more of a product. Unknown and sold-out products change nothing. */
export function addToBasket(basket, id) {
  const product = findProduct(id);
  if (!product || product.stock === 0) {
    return basket;
  }
  const known = basket.find((line) => line.id === id);
  if (!known) {
    return [...basket, { id, quantity: 1 }];
  }
  const quantity = Math.min(known.quantity + 1, product.stock);
  return basket.map((line) => (line.id === id ? { ...line, quantity } : line));
}

export function countItems(basket) {
  return basket.reduce((sum, line) => sum + line.quantity, 0);
}

/** What the basket costs, in cents: the goods, the shipping, and both together. */
export function totals(basket) {
  const goods = basket.reduce((sum, line) => sum + findProduct(line.id).priceCents * line.quantity, 0);
  const shipping = goods === 0 || goods >= FREE_SHIPPING_FROM_CENTS ? 0 : SHIPPING_CENTS;
  return { goods, shipping, total: goods + shipping };
}
