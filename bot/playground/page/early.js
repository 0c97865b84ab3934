/* Before anything is drawn: the colours this person chose, so that the page does not flash in the others. */
{
  const kept = localStorage.getItem("playground.theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
}
