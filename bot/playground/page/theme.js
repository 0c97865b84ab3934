/** Light or dark: the system's choice until the person makes their own. early.js applies what was kept. */

const KEPT_AS = "playground.theme";

/** @returns {boolean} */
function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Switch to the other one, and remember it. */
export function nextTheme() {
  const next = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  localStorage.setItem(KEPT_AS, next);
}

/** @returns {{label: string, picture: string}} what the button that switches should say */
export function themeLabel() {
  return isDark()
    ? { label: "Use light colours", picture: "sun" }
    : { label: "Use dark colours", picture: "moon" };
}
