import { html } from "./html.js";
import { formatPrice } from "./money.js";

/** One product in the list. A product that is sold out cannot be added to the basket. */
export function renderProductCard({ id, name, description, priceCents, stock }) {
  const soldOut = stock === 0;
  return html`
    <li class="card ${soldOut ? "card--sold-out" : ""}">
      <h2 class="card__name">${name}</h2>
      <p class="card__description">${description}</p>
      <p class="card__price">${formatPrice(priceCents)}</p>
      <button class="button" type="button" data-add="${id}" ${soldOut ? "disabled" : ""}>
        ${soldOut ? "Sold out" : "Add to basket"}
      </button>
    </li>
  `;
}
