/** Nodes are built one by one, so text from people and bots never passes through an HTML parser. */

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Build an element. `on…` properties become listeners, booleans become bare attributes,
 * null and undefined are left out.
 * @param {string} tag
 * @param {Record<string, unknown>} [props]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElement}
 */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) setProperty(node, name, value);
  node.append(...shown(children));
  return node;
}

/** @param {HTMLElement} node @param {string} name @param {unknown} value */
function setProperty(node, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) node.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
  else node.setAttribute(name, value === true ? "" : String(value));
}

/** @param {(Child | Child[])[]} children @returns {(Node | string)[]} */
function shown(children) {
  const left = children.flat().filter((child) => child !== null && child !== undefined && child !== false);
  return left.map((child) => (child instanceof Node ? child : String(child)));
}

/**
 * Put children in place of whatever the parent holds.
 * @param {Element} parent
 * @param {...(Child | Child[])} children
 */
export function fill(parent, ...children) {
  parent.replaceChildren(...shown(children));
}

/**
 * The address if a link may lead there, otherwise null: only http and https leave this page.
 * @param {unknown} address
 * @returns {string | null}
 */
export function safeAddress(address) {
  try {
    const url = new URL(String(address));
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}

/**
 * A link that opens a new tab, or plain text where the address is not one we follow.
 * @param {unknown} address
 * @param {Record<string, unknown>} props
 * @param {...(Child | Child[])} children
 * @returns {HTMLElement}
 */
export function outLink(address, props, ...children) {
  const href = safeAddress(address);
  if (href === null) return h("span", props, ...children);
  // Another tab would lack the key that this one keeps, so the playground's own addresses open here.
  if (new URL(href).origin === location.origin) return h("a", { ...props, href }, ...children);
  return h("a", { ...props, href, target: "_blank", rel: "noopener noreferrer" }, ...children);
}

/**
 * @typedef {object} Item
 * @property {string} key            unique among its siblings
 * @property {unknown[]} parts       what it is drawn from; an equal list means nothing to do
 * @property {(old: Element | null) => Element} make  draws it, or changes the old one and returns it
 */

/** @type {WeakMap<Element, {key: string, parts: unknown[]}>} */
const drawn = new WeakMap();

/**
 * Make the parent's children be these items, touching only the ones that changed, so that focus,
 * selection and scrolling survive while a message is still being written.
 * @param {Element} parent
 * @param {Item[]} items
 */
export function reconcile(parent, items) {
  const old = new Map();
  for (const child of parent.children) old.set(drawn.get(child)?.key, child);
  const focused = [...parent.children].find((child) => child.contains(document.activeElement));
  const place = focused
    ? focusable(focused).indexOf(/** @type {HTMLElement} */ (document.activeElement))
    : -1;
  const next = items.map((item) => redraw(old.get(item.key) ?? null, item));
  const kept = new Set(next);
  for (const child of [...parent.childNodes]) if (!kept.has(/** @type {Element} */ (child))) child.remove();
  next.forEach((node, index) => {
    if (parent.childNodes[index] !== node) parent.insertBefore(node, parent.childNodes[index] ?? null);
  });
  if (focused && !focused.isConnected) refocus(next, drawn.get(focused)?.key, place);
}

/** @param {Element} node @returns {HTMLElement[]} it and all in it that may hold the focus */
function focusable(node) {
  const inside = node.querySelectorAll("a, button, input, textarea, summary, [tabindex]");
  return /** @type {HTMLElement[]} */ ([node, ...inside]);
}

/** Give the focus to what stands where its old holder stood. @param {Element[]} nodes @param {string | undefined} key @param {number} place */
function refocus(nodes, key, place) {
  const heir = nodes.find((node) => drawn.get(node)?.key === key);
  if (heir) focusable(heir)[place]?.focus({ preventScroll: true });
}

/** @param {Element | null} old @param {Item} item */
function redraw(old, item) {
  const before = old && drawn.get(old);
  if (old && before && sameParts(before.parts, item.parts)) return old;
  const node = item.make(old);
  drawn.set(node, { key: item.key, parts: item.parts });
  return node;
}

/** @param {unknown[]} a @param {unknown[]} b */
function sameParts(a, b) {
  return a.length === b.length && a.every((part, index) => Object.is(part, b[index]));
}
