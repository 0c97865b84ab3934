export const CURRENCY = "EUR";

const format = new Intl.NumberFormat("en-IE", { style: "currency", currency: CURRENCY });

/** Cents as people read them, e.g. 1450 as €14.50. */
export function formatPrice(cents) {
  if (!Number.isInteger(cents)) {
    throw new TypeError(`a price is a whole number of cents, not ${cents}`);
  }
  return format.format(cents / 100);
}
