const REPLACEMENTS = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

export function escapeHtml(text) {
  return String(text).replace(/[&<>"']/g, (character) => REPLACEMENTS[character]);
}

/** A template tag that escapes every value put into it. */
export function html(strings, ...values) {
  return strings.reduce((all, part, at) => all + escapeHtml(values[at - 1]) + part).trim();
}
