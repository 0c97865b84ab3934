import { html } from "./html.js";

export const OPENING_HOURS = "Monday to Friday, 9:00 to 17:00";
export const CONTACT = "hello@acme.example";

/** The bottom of every page: how to reach us, and the small print. */
export function renderFooter({ year }) {
  return html`
    <p class="footer__hours">${OPENING_HOURS}</p>
    <p class="footer__contact"><a href="mailto:${CONTACT}">${CONTACT}</a></p>
    <p class="footer__legal">© ${year} Acme Desk Supplies</p>
  `;
}
