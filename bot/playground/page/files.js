/** Files: those chosen for the next message, and those that came with one. */

import { h, reconcile } from "./dom.js";
import { icon } from "./icons.js";

/**
 * @typedef {{name: string, content_base64: string, mimetype?: string}} Given a file as the playground takes it
 * @typedef {import("./model.js").File} File
 */

const MOST_FILES = 10;
const MOST_BYTES = 16 * 1024 * 1024;
const SHOWN = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/** What hangs on a composer until its message is sent, kept by place as the unsent texts are. */
export class Attached {
  /** @param {() => void} changed @param {(text: string) => void} say */
  constructor(changed, say) {
    this.changed = changed;
    this.say = say;
    /** @type {Map<string, Given[]>} */
    this.kept = new Map();
    this.place = "";
    this.node = h("ul", { class: "attached", "aria-label": "Attached files" });
    this.input = /** @type {HTMLInputElement} */ (
      h("input", { type: "file", multiple: true, hidden: true, "aria-label": "Files to attach" })
    );
    this.input.addEventListener("change", async () => {
      await this.add([...(this.input.files ?? [])]);
      this.input.value = "";
    });
  }

  get files() {
    return this.kept.get(this.place) ?? [];
  }

  get empty() {
    return this.files.length === 0;
  }

  button() {
    const clip = h(
      "button",
      {
        type: "button",
        class: "tool",
        "aria-label": "Attach files",
        title: "Attach files",
        onclick: () => this.input.click(),
      },
      icon("paperclip"),
    );
    return h("span", { class: "attach" }, clip, this.input);
  }

  /** @param {string} place */
  show(place) {
    this.place = place;
    this.draw();
  }

  /** An image in the clipboard is attached; text goes its usual way. @param {ClipboardEvent} event */
  paste(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    this.add(files);
  }

  /** @param {globalThis.File[]} chosen */
  async add(chosen) {
    const place = this.place;
    const fitting = chosen.filter((file) => file.size > 0 && file.size <= MOST_BYTES);
    const room = Math.max(0, MOST_FILES - this.files.length);
    const given = await Promise.all(fitting.slice(0, room).map(read));
    this.kept.set(place, [...(this.kept.get(place) ?? []), ...given]);
    this.say(
      fitting.length < chosen.length
        ? "A file may not be empty, nor larger than 16 MB."
        : fitting.length > room
          ? `A message takes ${MOST_FILES} files.`
          : "",
    );
    this.draw();
  }

  /** @returns {Given[]} all of them, which the composer holds no more */
  take() {
    const files = this.files;
    this.kept.delete(this.place);
    this.draw();
    return files;
  }

  /** @param {Given[]} files */
  putBack(files) {
    if (files.length > 0) this.kept.set(this.place, files);
    this.draw();
  }

  /** @param {Given} file */
  drop(file) {
    this.kept.set(
      this.place,
      this.files.filter((each) => each !== file),
    );
    this.draw();
  }

  draw() {
    reconcile(
      this.node,
      this.files.map((file, index) => ({
        key: `${index}-${file.name}`,
        parts: [file],
        make: () => this.drawOne(file),
      })),
    );
    this.changed();
  }

  /** @param {Given} file */
  drawOne(file) {
    const remove = h(
      "button",
      { type: "button", class: "attached-drop", "aria-label": `Do not attach ${file.name}` },
      icon("close"),
    );
    remove.addEventListener("click", () => this.drop(file));
    const picture = SHOWN.includes(file.mimetype ?? "")
      ? h("img", { src: `data:${file.mimetype};base64,${file.content_base64}`, alt: "" })
      : icon("file");
    return h("li", {}, picture, h("span", { class: "file-name" }, file.name), remove);
  }
}

/** @param {globalThis.File} file @returns {Promise<Given>} */
async function read(file) {
  const address = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
  const content_base64 = address.slice(address.indexOf(",") + 1);
  return SHOWN.includes(file.type)
    ? { name: file.name, content_base64, mimetype: file.type }
    : { name: file.name, content_base64 };
}

/**
 * A file that came with a message: an image as a picture, all else as its name and size.
 * @param {File} file
 * @param {import("./main.js").App} app
 */
export function drawFile(file, app) {
  const row = h(
    "button",
    { type: "button", class: "file", title: `Save ${file.name}`, onclick: () => save(file, app) },
    icon("file"),
    h(
      "span",
      { class: "file-text" },
      h("span", { class: "file-name" }, file.title),
      h("span", { class: "file-facts" }, `${file.pretty_type} · ${sizeOf(file.size)}`),
    ),
  );
  return SHOWN.includes(file.mimetype) ? drawImage(file, app, row) : row;
}

/** @param {File} file @param {import("./main.js").App} app @param {HTMLElement} row in its place where it is none */
function drawImage(file, app, row) {
  const image = /** @type {HTMLImageElement} */ (h("img", { class: "file-image", alt: file.title }));
  const frame = h(
    "button",
    { type: "button", class: "file-frame", title: `Save ${file.name}`, onclick: () => save(file, app) },
    image,
  );
  const figure = h("figure", { class: "file-figure" }, h("figcaption", {}, file.title), frame);
  image.addEventListener("error", () => figure.replaceChildren(row));
  content(file, app)
    .then((blob) => {
      if (!SHOWN.includes(blob.type)) throw new Error("no image");
      const address = URL.createObjectURL(blob);
      image.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
      image.src = address;
    })
    .catch(() => figure.replaceChildren(row));
  return figure;
}

/** @param {File} file @param {import("./main.js").App} app */
async function save(file, app) {
  try {
    const address = URL.createObjectURL(await content(file, app));
    h("a", { href: address, download: file.name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  } catch (error) {
    app.toast(/** @type {Error} */ (error).message);
  }
}

/** @param {File} file @param {import("./main.js").App} app */
function content(file, app) {
  return app.api.file(app.store.me, file.id);
}

/** @param {number} bytes */
function sizeOf(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  if (bytes < 1024 * 1024) return `${Math.round(bytes / 1024)} KB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}
