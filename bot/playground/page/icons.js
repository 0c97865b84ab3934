/** Line icons on a 24-unit grid, drawn as nodes so that they take the text's colour. */

const SVG = "http://www.w3.org/2000/svg";

/** @type {Record<string, string>} */
const PATHS = {
  alert: "M12 4 3 19.5h18L12 4Zm0 6v4.5m0 2.6v.1",
  at: "M15.8 12a3.8 3.8 0 1 1-7.6 0 3.8 3.8 0 0 1 7.6 0Zm0 0v1.4a2.4 2.4 0 0 0 4.8 0V12a8.6 8.6 0 1 0-3.4 6.9",
  back: "M14.5 5.5 8 12l6.5 6.5",
  branch:
    "M7 4v11m0 0a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5Zm10-6.500a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Zm0 0c0 4.5-4 5.5-7.7 6.5",
  check: "m5.5 12.5 4.2 4.2 8.8-9.2",
  chevron: "m8.5 10 3.5 3.5 3.5-3.5",
  close: "m6.5 6.5 11 11m0-11-11 11",
  eye: "M2.8 12S6 5.8 12 5.8 21.2 12 21.2 12 18 18.2 12 18.2 2.8 12 2.8 12Zm9.2 2.700a2.7 2.7 0 1 0 0-5.4 2.7 2.7 0 0 0 0 5.400Z",
  external: "M13.5 5H19v5.500M19 5l-8.5 8.500M16.5 14v4.500h-11v-11H10",
  hash: "M10 4 8 20m8-16-2 16M5 9h15M4 15h15",
  help: "M9.3 9.300a2.8 2.8 0 1 1 4.2 2.400c-1 .6-1.5 1.1-1.5 2.300m0 2.700v.1M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Z",
  message: "M4 5.500h16v11h-8.500L7 20v-3.500H4v-11Z",
  moon: "M19.5 14.500A8 8 0 0 1 9.5 4.500a8 8 0 1 0 10 10Z",
  paperclip:
    "M19 11.500 11.7 18.800a4.6 4.6 0 0 1-6.500-6.500l7.700-7.700a3.1 3.1 0 0 1 4.400 4.400l-7.600 7.600a1.5 1.500 0 0 1-2.200-2.200l6.900-6.900",
  pencil: "m4.5 19.5 1-4L16.3 4.700l3 3L8.5 18.500l-4 1Z",
  file: "M6.5 3.500h7l4 4V20.500h-11v-17Zm7 0v4h4",
  plug: "M9 3.500v4m6-4v4M6.5 7.500h11v3.500a5.5 5.5 0 0 1-11 0V7.500Zm5.5 9v4",
  reply: "M9.5 6 4.5 11l5 5m-5-5h9a6 6 0 0 1 6 6v1",
  search: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13Zm4.7-1.800L20 20",
  send: "M4.5 12 20 5l-6.5 15-2.7-6.300L4.5 12Zm6.3 1.700L20 5",
  slash: "m15.5 4-7 16",
  smile:
    "M12 20.500a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17ZM8.5 14s1.2 2 3.5 2 3.5-2 3.5-2M9.2 9.500v.1m5.6-.1v.1",
  stop: "M7.5 7.500h9v9h-9z",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm0-13v1.800m0 14.400V21M3 12h1.800m14.4 0H21M5.6 5.600l1.3 1.300m10.2 10.2 1.3 1.300m0-12.8-1.3 1.300M6.9 17.100l-1.3 1.3",
  trash: "M4.5 7h15M9.5 7V4.500h5V7m-8 0 .8 12.500h9.400L17.5 7",
};

/**
 * @param {string} name one of PATHS
 * @param {string} [extra] further class names
 * @returns {SVGSVGElement}
 */
export function icon(name, extra = "") {
  const path = shape("path", { d: PATHS[name] });
  return /** @type {SVGSVGElement} */ (
    shape("svg", { viewBox: "0 0 24 24", class: `icon ${extra}`, "aria-hidden": "true" }, path)
  );
}

/**
 * The mark: a speech bubble sewn with three stitches.
 * @returns {SVGSVGElement}
 */
export function mark() {
  return /** @type {SVGSVGElement} */ (
    shape(
      "svg",
      { viewBox: "0 0 32 32", class: "mark", "aria-hidden": "true" },
      shape("path", {
        class: "mark-bubble",
        d: "M8 4h16a5 5 0 0 1 5 5v9a5 5 0 0 1-5 5h-8.500L9 28.500V23H8a5 5 0 0 1-5-5V9a5 5 0 0 1 5-5Z",
      }),
      shape("path", { class: "mark-thread", d: "M8 17.5 11.5 10m3 7.500L18 10m3 7.500L24.5 10" }),
    )
  );
}

/** @param {string} tag @param {Record<string, string>} attributes @param {...Element} children */
function shape(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
