// Sets the theme before the first paint. A file of its own, so that a strict content policy can allow it.
(function () {
  var choice = null;
  try {
    choice = localStorage.getItem("spool.theme");
  } catch (_) {
    // No storage: follow the system.
  }
  var dark = choice === "dark" || (choice !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.classList.toggle("dark", dark);
})();
