import { html } from "./html.js";

const GREETING = "Welcome";
const SHOP_NAME = "Acme";

/** The top of every page: a greeting and the basket. */
export function renderHeader({ shopper = null, itemCount = 0 } = {}) {
  const greeting = shopper ? `${GREETING} back, ${shopper}` : `${GREETING} to ${SHOP_NAME}`;
  return html`
    <a class="header__brand" href="/">${SHOP_NAME}</a>
    <p class="header__greeting">${greeting}</p>
    <button class="header__basket" type="button" aria-label="Open the basket">
      Basket <span class="badge">${itemCount}</span>
    </button>
  `;
}
