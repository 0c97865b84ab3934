/** Own small drawings of the emoji used most, so that they show on a machine without an emoji font. Grid of 20 units. */

const SVG = "http://www.w3.org/2000/svg";
const YELLOW = "#f3b83f";
const RED = "#d5483c";
const GREEN = "#3d9a5f";
const BLUE = "#4b8fd0";
const INK = "#3a3330";
const GREY = "#8f959b";

const THUMB =
  "M2.5 9h3.4v8H2.5zM7 9.2l3-6.4c1.6-.2 2.6 1 2.2 2.6L11.6 8h4.2c1.2 0 2 1 1.7 2.2l-1.4 5c-.3 1.1-1.1 1.8-2.2 1.8H7z";
const SHEET = "M5 2h10a3 3 0 0 1 3 3v10a3 3 0 0 1-3 3H5a3 3 0 0 1-3-3V5a3 3 0 0 1 3-3Z";
const DISC = "M10 1.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17Z";
const QUESTION = "M6.5 6.5a3.6 3.6 0 1 1 5.3 3.2c-1.3.8-1.8 1.4-1.8 3m0 3.7v.1";
const FACE = [
  fill(DISC, YELLOW),
  fill("M7 6.8a1.2 1.5 0 1 0 0 3 1.2 1.5 0 0 0 0-3Zm6 0a1.2 1.5 0 1 0 0 3 1.2 1.5 0 0 0 0-3Z", INK),
];

/** @type {Record<string, [string, Record<string, string>][]>} */
const ART = {
  "+1": [fill(THUMB, YELLOW)],
  "-1": [fill(THUMB, YELLOW, "rotate(180 10 10)")],
  eyes: [
    fill(
      "M5.8 4C3.7 4 2 6.7 2 10s1.7 6 3.8 6 3.8-2.7 3.8-6-1.7-6-3.8-6Zm8.4 0c-2.1 0-3.8 2.7-3.8 6s1.7 6 3.8 6 3.8-2.7 3.8-6-1.7-6-3.8-6Z",
      "#f7f4ee",
      null,
      "#8d8577",
    ),
    fill(
      "M5 7.8a1.7 2.3 0 1 0 0 4.6 1.7 2.3 0 0 0 0-4.6Zm8.4 0a1.7 2.3 0 1 0 0 4.6 1.7 2.3 0 0 0 0-4.6Z",
      INK,
    ),
  ],
  white_check_mark: [
    fill(SHEET, GREEN),
    line("m6 10.4 2.8 2.8L14.2 7", "#ffffff", 2.4),
  ],
  heavy_check_mark: [line("m4 10.6 4 4L16.5 5.5", GREEN, 3)],
  x: [line("m4.5 4.5 11 11m0-11-11 11", RED, 3.4)],
  tada: [
    fill("M2 18 6.5 7.5l6 6L2 18Z", YELLOW),
    line("M9 6.5c.6-1.5.2-3-.8-4M13.5 11c1.5-.6 3-.2 4 .8", BLUE, 1.6),
    line("M12 8c1.5-1.5 2.5-3 2.3-4.8", RED, 1.6),
    fill(
      "M16 5.2a1.2 1.2 0 1 0 0 2.4 1.2 1.2 0 0 0 0-2.4ZM4.5 3.5a1 1 0 1 0 0 2 1 1 0 0 0 0-2Zm12 11a1 1 0 1 0 0 2 1 1 0 0 0 0-2Z",
      GREEN,
    ),
  ],
  heart: [
    fill(
      "M10 17.5C4.5 13.5 2 10.7 2 7.5 2 5 3.9 3.2 6.2 3.2c1.6 0 3 .8 3.8 2.2.8-1.4 2.2-2.2 3.8-2.2C16.1 3.2 18 5 18 7.5c0 3.2-2.5 6-8 10Z",
      RED,
    ),
  ],
  rocket: [
    fill(
      "M17.8 2.2c-4.3-.2-8 1.6-10.6 6L5 8.6 2.5 12l3 .4 2.1 2.1.4 3 3.4-2.5.4-2.2c4.4-2.6 6.2-6.3 6-10.6Z",
      "#aab4bf",
    ),
    fill("M12.8 5.4a1.9 1.9 0 1 0 0 3.8 1.9 1.9 0 0 0 0-3.8Z", BLUE),
    fill("M5.2 14.2c-1.6.3-2.3 1.8-2.5 3.6 1.8-.2 3.3-.9 3.6-2.5l-1.1-1.1Z", RED),
  ],
  warning: [fill("M10 2.5 1.5 17.5h17L10 2.5Z", YELLOW), line("M10 8v4.2m0 2.7v.1", INK, 2)],
  octagonal_sign: [
    fill("M6.5 2h7L18 6.5v7L13.5 18h-7L2 13.5v-7L6.5 2Z", RED),
    line("M6 10h8", "#ffffff", 2.4),
  ],
  hourglass_flowing_sand: [
    fill("M4.5 2.5h11L11.5 10l4 7.5h-11l4-7.5-4-7.5Z", "#dfe7ec", null, "#8d8577"),
    fill("M7 5.5h6L10.5 9h-1L7 5.5Zm-.7 11 2.7-3.5h2l2.7 3.5H6.3Z", YELLOW),
  ],
  sparkles: [
    fill(
      "M8 4.5c.7 4 1.5 4.8 5.5 5.5-4 .7-4.8 1.5-5.5 5.5-.7-4-1.5-4.8-5.5-5.5 4-.7 4.8-1.5 5.5-5.5Zm7.5-3c.3 2 .8 2.5 2.8 2.8-2 .3-2.5.8-2.8 2.8-.3-2-.8-2.5-2.8-2.8 2-.3 2.5-.8 2.8-2.8Zm-.5 11c.3 1.7.7 2.1 2.4 2.4-1.7.3-2.1.7-2.4 2.4-.3-1.7-.7-2.1-2.4-2.4 1.7-.3 2.1-.7 2.4-2.4Z",
      YELLOW,
    ),
  ],
  thread: [
    fill("M4.5 2.5h11v2.6h-11zM4.5 15h11v2.5h-11z", "#b98a5e"),
    fill("M6 5.1h8V15H6z", RED),
    line("M6 7.5 14 6.3M6 10l8-1.2M6 12.5l8-1.2M6 14.7l8-1.1", "#f2b8ae", 0.9),
  ],
  fire: [
    fill(
      "M10.5 1.5c.5 3.5 5.5 5 5.5 10 0 3.8-2.7 6.8-6 6.8s-6-2.7-6-6.3c0-2.5 1.3-4 2.5-5.5.3 1.3.8 2 1.5 2.4-.2-2.7.5-5.4 2.5-7.4Z",
      "#e8743b",
    ),
    fill(
      "M10.2 9.5c.3 1.8 2.5 2.5 2.5 5 0 1.9-1.2 3.2-2.7 3.2s-2.7-1.2-2.7-3c0-2.2 2.2-2.9 2.9-5.2Z",
      YELLOW,
    ),
  ],
  question: [line(QUESTION, RED, 2.6)],
  grey_question: [line(QUESTION, GREY, 2.6)],
  exclamation: [line("M10 3.5v9m0 3.9v.1", RED, 2.8)],
  information_source: [fill(SHEET, BLUE), line("M8.2 9.2H10v5m-2 .1h4.2M10 5.8v.1", "#ffffff", 2)],
  no_entry: [fill(DISC, RED), line("M6 10h8", "#ffffff", 3)],
  no_entry_sign: [line("M10 2.7a7.3 7.3 0 1 0 0 14.6 7.3 7.3 0 0 0 0-14.6ZM5 5l10 10", RED, 2.4)],
  bulb: [
    fill("M10 1.5c-3.5 0-6 2.5-6 5.7 0 2.4 1.5 3.7 2.5 5.3h7c1-1.6 2.5-2.9 2.5-5.3 0-3.2-2.5-5.7-6-5.7Z", YELLOW),
    line("M7.5 15h5M8.5 17.7h3", "#7c7770", 1.8),
  ],
  bug: [
    line(
      "M10 7v10M4.5 7.5 7 9m-3.5 3H7m-2.3 4.5L7.2 15m8.3-7.5L13 9m3.5 3H13m2.3 4.5L12.8 15",
      "#7c7770",
      1.3,
    ),
    fill("M10 6.5c2.8 0 4.5 2.3 4.5 5.5s-1.7 6-4.5 6-4.5-2.8-4.5-6 1.7-5.5 4.5-5.5Z", GREEN),
    fill("M10 2.5c1.7 0 2.9 1.2 2.9 2.7 0 1.1-1.2 1.8-2.9 1.8s-2.9-.7-2.9-1.8c0-1.5 1.2-2.7 2.9-2.7Z", INK),
  ],
  robot_face: [
    line("M10 2v3", "#7c8790", 1.6),
    fill(
      "M5 5h10a2.5 2.5 0 0 1 2.5 2.5v7A2.5 2.5 0 0 1 15 17H5a2.5 2.5 0 0 1-2.5-2.5v-7A2.5 2.5 0 0 1 5 5Z",
      "#aab4bf",
    ),
    fill("M7 8a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3Zm6 0a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3Z", BLUE),
    line("M7 14h6", INK, 1.4),
  ],
  memo: [
    fill("M4 2h9l3.5 3.5V18H4z", "#f7f4ee", null, "#8d8577"),
    line("M6.5 7H12M6.5 10h7.5M6.5 13h7.5", "#8d8577", 1.2),
  ],
  zap: [fill("M11.5 1.5 4 11.5h5l-1 7 8-10.5h-5l.5-6.5Z", YELLOW)],
  wave: [
    line(
      "M4.5 11.5 8 15.5c2.5 2.2 5.5 1.5 7.5-1.2l1.5-5m-9.5 1L5.5 6.5m4.7 2.5L8 4.2m5 4-1.5-4.2m4 5 .2-3.5",
      YELLOW,
      2.6,
    ),
  ],
  smile: [...FACE, line("M6 12.5c1 1.7 2.3 2.5 4 2.5s3-.8 4-2.5", INK, 1.5)],
  slightly_smiling_face: [...FACE, line("M6.8 12.8c.9.9 1.9 1.3 3.2 1.3s2.3-.4 3.2-1.3", INK, 1.5)],
  joy: [
    ...FACE,
    fill("M5.5 11.5h9c0 2.9-1.8 4.7-4.5 4.7s-4.5-1.8-4.5-4.7Z", INK),
    fill(
      "M3.5 9c-1.3 1.5-2 2.5-2 3.4a1.9 1.9 0 0 0 3.8 0C5.3 11.5 4.7 10.5 3.5 9Zm13 0c-1.2 1.5-1.8 2.5-1.8 3.4a1.9 1.9 0 0 0 3.8 0c0-.9-.7-1.9-2-3.4Z",
      BLUE,
    ),
  ],
  thinking_face: [
    ...FACE,
    line("M7.5 13.2c1.7-.7 3.3-.7 5 0", INK, 1.5),
    line("M5.5 5.8 8 5m4 0 2.5-.6", INK, 1.2),
  ],
  coffee: [
    fill("M3 8h11v5.5a4 4 0 0 1-4 4H7a4 4 0 0 1-4-4V8Z", "#f7f4ee", null, "#8d8577"),
    line("M14.3 9.5h1a2 2 0 0 1 0 4h-1M6.5 5.5c-.6-1 .6-1.7 0-2.8m4 2.8c-.6-1 .6-1.7 0-2.8", "#8d8577", 1.4),
  ],
};

const ALIASES = {
  thumbsup: "+1",
  thumbsdown: "-1",
  stop_sign: "octagonal_sign",
  hourglass: "hourglass_flowing_sand",
  thinking: "thinking_face",
  pencil: "memo",
  smiley: "smile",
};

/** @param {string} d @param {string} color @param {string | null} [transform] @param {string} [edge] @returns {[string, Record<string, string>]} */
function fill(d, color, transform = null, edge = "none") {
  return ["path", { d, fill: color, stroke: edge, ...(transform ? { transform } : {}) }];
}

/** @param {string} d @param {string} color @param {number} width @returns {[string, Record<string, string>]} */
function line(d, color, width) {
  return [
    "path",
    {
      d,
      fill: "none",
      stroke: color,
      "stroke-width": String(width),
      "stroke-linecap": "round",
      "stroke-linejoin": "round",
    },
  ];
}

/**
 * @param {string} name a short name
 * @returns {Element | null} null where there is no drawing
 */
export function emojiArt(name) {
  const shapes =
    ART[Object.hasOwn(ALIASES, name) ? ALIASES[/** @type {keyof typeof ALIASES} */ (name)] : name];
  if (!Array.isArray(shapes)) return null;
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  for (const [tag, attributes] of shapes) {
    const shape = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
    svg.append(shape);
  }
  return svg;
}

/** @type {boolean | null} */
let font = null;

/** @returns {boolean} whether this machine can show emoji: without a font all of them come out as the same box */
export function hasEmojiFont() {
  font ??= picture("\u{1F440}") !== picture("\u{1F680}");
  return font;
}

/** @param {string} text */
function picture(text) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 24;
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  pen.font = "18px sans-serif";
  pen.fillText(text, 2, 19);
  return pen.getImageData(0, 0, 24, 24).data.join();
}
