// Keys: search from anywhere, go to a page by two letters, and the sheet that lists them all.
(function () {
  "use strict";

  const field = () => document.getElementById("search-text");
  let going = 0;

  function openSearch() {
    const dialog = document.getElementById("search");
    if (!dialog || dialog.open) return;
    document.body.classList.remove("nav-open");
    dialog.showModal();
    field().select();
  }

  function typing(target) {
    return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
  }

  function toggleTheme() {
    const dark = document.documentElement.classList.contains("dark");
    document.querySelector(`[data-theme="${dark ? "light" : "dark"}"]`)?.click();
  }

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-search]") && document.getElementById("search")) {
      event.preventDefault();
      openSearch();
    }
    if (event.target.matches("#search, #keys")) event.target.close(); // Beside the sheet, on what it dims.
  });

  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "k" && document.getElementById("search")) {
      event.preventDefault();
      openSearch();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    if (going && Date.now() - going < 1200) {
      going = 0;
      const link = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
      if (link) {
        event.preventDefault();
        link.click();
      }
      return;
    }
    const acts = {
      "/": openSearch,
      "?": () => document.getElementById("keys")?.showModal(),
      t: toggleTheme,
      g: () => { going = Date.now(); },
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  });

  // In the search: the arrows walk through what was found, Enter opens the first of it.
  document.addEventListener("keydown", (event) => {
    const dialog = event.target.closest?.("#search");
    if (!dialog) return;
    const links = [...dialog.querySelectorAll(".found a")];
    const at = links.indexOf(document.activeElement);
    if (event.key === "ArrowDown" && at < links.length - 1) {
      event.preventDefault();
      links[at + 1].focus();
    } else if (event.key === "ArrowUp" && at >= 0) {
      event.preventDefault();
      (links[at - 1] || field()).focus();
    } else if (event.key === "Enter" && event.target === field() && links.length) {
      event.preventDefault();
      links[0].click();
    }
  });
})();
