// Runs before the first paint, so that a dark page never flashes white. The key is the one that unfold's lists use.
(function () {
  "use strict";
  const KEY = "_x_adminTheme";

  function stored() {
    try {
      const value = JSON.parse(localStorage.getItem(KEY) || '"auto"');
      return ["light", "dark"].includes(value) ? value : "auto";
    } catch (error) {
      return "auto";
    }
  }

  function apply() {
    const dark = stored() === "dark" || (stored() === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.classList.toggle("dark", dark);
    document.querySelectorAll("[data-theme]").forEach((button) => {
      button.setAttribute("aria-pressed", String(button.dataset.theme === stored()));
    });
    document.dispatchEvent(new CustomEvent("manifold:theme"));
  }

  apply();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", apply);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme]");
    if (!button) return;
    localStorage.setItem(KEY, JSON.stringify(button.dataset.theme));
    apply();
  });
})();
