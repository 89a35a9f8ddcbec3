// Applies the reader's choice of light or dark before the first paint, so that the page does not flash.
// Without a choice the system decides. A classic script on purpose: modules run after the first paint.
try {
  const theme = localStorage.getItem("horolog-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden; then the system's choice stands.
}
