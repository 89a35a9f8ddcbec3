// Applies the reader's choice of light or dark before the first paint, so that the page does not flash. Without a
// choice the system's setting applies. Deliberately a classic script: modules run after the first paint.
try {
  const theme = localStorage.getItem("horolog-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be disabled; then the system's setting applies.
}
