/** Links that leave for the code host say who is looking, and open it: its pages want a token as ours do. */

/**
 * Done when a link is followed, not when it is drawn: what is on show stays there when the person changes.
 * @param {import("./store.js").Store} store
 */
export function carryPerson(store) {
  const carry = (/** @type {Event} */ event) => {
    const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
    if (!(link instanceof HTMLAnchorElement) || !store.state) return;
    const address = new URL(link.href);
    if (address.origin !== new URL(store.state.github_url, location.href).origin) return;
    const login = store.users.get(store.me)?.github;
    if (login) address.searchParams.set("as", login);
    else address.searchParams.delete("as");
    address.searchParams.set("token", store.state.github_token);
    link.href = address.href;
  };
  for (const kind of ["click", "auxclick"]) document.addEventListener(kind, carry, { capture: true });
}
