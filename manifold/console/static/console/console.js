// What pages do by themselves: poll without flicker, toasts, the drawer on small screens, running clocks, menus.
(function () {
  "use strict";

  // A polled part is replaced only when it differs. The token in its forms and how long ago a thing was change with every
  // answer and do not count.
  const seen = new WeakMap();
  const plain = (html) => html
    .replace(/name="csrfmiddlewaretoken" value="[^"]*"/g, "")
    .replace(/(<(?:time|span) [^>]*data-(?:ago|ahead|since)=[^>]*>)[^<]*/g, "$1")
    .trim();
  let open = [];

  document.addEventListener("htmx:beforeSwap", (event) => {
    const target = event.detail.target;
    if (!target.matches("[data-live]")) return;
    const answer = plain(event.detail.xhr.responseText);
    const last = seen.get(document.body)?.[target.id];
    // What somebody presses just now stays until it is let go: a new button under the pointer would not count as pressed.
    if (last === answer || target.matches(":active") || target.contains(document.querySelector("dialog[open]"))) {
      event.detail.shouldSwap = false;
      return;
    }
    seen.set(document.body, { ...seen.get(document.body), [target.id]: answer });
    open = [...target.querySelectorAll("details[open][id]")].map((each) => each.id);
  });

  document.addEventListener("htmx:afterSwap", () => {
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    open = [];
    tick();
  });

  // Nobody looks at a hidden page, so it does not ask.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.detail.elt.matches("[data-live]")) event.preventDefault();
  });

  // Whoever signs in again in another tab gets another token, which the forms that are open here do not know.
  document.addEventListener("htmx:configRequest", (event) => {
    if (event.detail.verb === "get") return;
    document.querySelectorAll("[data-told]").forEach((toast) => toast.remove());
    const token = document.cookie.match(/(?:^|; )manifold_csrf=([^;]+)/)?.[1];
    if (!token) return;
    event.detail.headers["X-CSRFToken"] = token;
    if (event.detail.parameters.csrfmiddlewaretoken) event.detail.parameters.csrfmiddlewaretoken = token;
  });

  // What somebody sent and nobody took is told, and stays as it was entered. Signed out while a page only looks: go where
  // one signs in.
  document.addEventListener("htmx:responseError", (event) => {
    const { xhr, requestConfig } = event.detail;
    if (requestConfig.verb !== "get") tell(String(xhr.status));
    else if (xhr.status === 401) location.reload();
  });
  document.addEventListener("htmx:sendError", (event) => {
    if (event.detail.requestConfig.verb !== "get") tell("0");
  });

  function tell(status) {
    const toast = document.getElementById("told").content.cloneNode(true);
    const said = toast.querySelector(`[data-of="${status}"]`) || toast.querySelector(`[data-of="${status[0]}"]`);
    said.parentElement.replaceChildren(said);
    document.querySelector(".toasts").append(toast);
  }

  // Running clocks: data-since holds when something began.
  function tick() {
    const now = Date.now();
    document.querySelectorAll("[data-since]").forEach((each) => {
      each.textContent = duration(Math.max(0, (now - Date.parse(each.dataset.since)) / 1000));
    });
    document.querySelectorAll("[data-ago]").forEach((each) => {
      each.textContent = ago(Math.max(0, (now - Date.parse(each.dataset.ago)) / 1000));
    });
    document.querySelectorAll("[data-ahead]").forEach((each) => {
      each.textContent = ahead((Date.parse(each.dataset.ahead) - now) / 1000);
    });
  }

  function duration(seconds) {
    if (seconds < 60) return `${Math.floor(seconds)} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
    return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  }

  function ahead(seconds) {
    if (seconds <= 0) return "due now";
    if (seconds < 60) return `in ${Math.ceil(seconds)} s`;
    if (seconds < 3600) return `in ${Math.ceil(seconds / 60)} min`;
    if (seconds < 86400) return `in ${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
    return `in ${Math.floor(seconds / 86400)} d`;
  }

  function ago(seconds) {
    if (seconds < 10) return "just now";
    if (seconds < 60) return `${Math.floor(seconds)} s ago`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
    return `${Math.floor(seconds / 86400)} d ago`;
  }

  setInterval(tick, 1000);

  // What scrolls can be scrolled with the arrow keys too.
  function reachScrolls() {
    document.querySelectorAll(".scroll:not([tabindex]), pre:not([tabindex])").forEach((each) => {
      if (each.scrollWidth > each.clientWidth || each.scrollHeight > each.clientHeight) each.tabIndex = 0;
    });
  }
  document.addEventListener("DOMContentLoaded", reachScrolls);
  document.addEventListener("htmx:afterSwap", reachScrolls);

  function dismiss(toast) {
    toast.classList.add("leaving");
    setTimeout(() => toast.remove(), 260);
  }

  document.addEventListener("DOMContentLoaded", () => {
    tick();
    document.querySelectorAll(".toast:not(.error)").forEach((toast) => setTimeout(() => dismiss(toast), 6000));
  });

  document.addEventListener("click", (event) => {
    const close = event.target.closest("[data-dismiss]");
    if (close) dismiss(close.closest(".toast"));
    if (event.target.closest("[data-drawer]")) toggleDrawer();
    const opens = event.target.closest("[data-dialog]");
    if (opens) document.getElementById(opens.dataset.dialog).showModal();
    if (event.target.closest("[data-close]") || event.target.matches("dialog")) event.target.closest("dialog").close();
    document.querySelectorAll("details[data-menu][open]").forEach((menu) => {
      if (!menu.contains(event.target)) menu.removeAttribute("open");
    });
    const copy = event.target.closest("[data-copy]");
    if (copy) copyText(copy);
    const all = event.target.closest("[data-check-all]");
    if (all) document.querySelectorAll(all.dataset.checkAll).forEach((box) => { box.checked = all.checked; });
  });

  // What was still to come above a button moves it from under the pointer: pressed before and let go after, it would count
  // as not pressed. Whoever held the pointer still meant it.
  let pressed = null;
  document.addEventListener("pointerdown", (event) => {
    pressed = { button: event.target.closest("button, a"), x: event.clientX, y: event.clientY };
  });
  document.addEventListener("click", (event) => {
    const { button, x, y } = pressed || {};
    pressed = null;
    const moved = button && event.target !== button && event.target.contains(button);
    if (moved && Math.hypot(event.clientX - x, event.clientY - y) < 5) button.click();
  });

  // Without encryption a browser keeps the clipboard shut: then the text is selected, and the next key press copies it.
  function copyText(button) {
    if (navigator.clipboard) {
      navigator.clipboard.writeText(button.dataset.copy).then(() => { button.textContent = "Copied"; });
      return;
    }
    const shown = button.parentElement.querySelector("code, pre");
    if (shown) getSelection().selectAllChildren(shown);
    button.textContent = "Press Ctrl-C";
  }

  function toggleDrawer(shut) {
    const opened = document.body.classList.toggle("nav-open", shut ? false : undefined);
    document.querySelectorAll("button[data-drawer]").forEach((each) => each.setAttribute("aria-expanded", String(opened)));
    if (opened) document.querySelector(".nav a")?.focus();
  }

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    document.querySelectorAll("details[data-menu][open]").forEach((menu) => {
      menu.removeAttribute("open");
      menu.querySelector("summary").focus();
    });
    if (document.body.classList.contains("nav-open")) toggleDrawer(true);
  });

  // A form that takes a moment says so, and is sent once.
  document.addEventListener("submit", (event) => {
    const question = event.submitter?.dataset.confirm || event.target.dataset.confirm;
    if (question && !window.confirm(question)) {
      event.preventDefault();
      return;
    }
    if (event.target.method === "get" || event.target.target) return;
    event.submitter?.classList.add("busy");
    setTimeout(() => event.target.querySelectorAll("button").forEach((each) => { each.disabled = true; }), 0);
  });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) document.querySelectorAll("form button").forEach((each) => {
      each.disabled = false;
      each.classList.remove("busy");
    });
  });

  // Filters apply when they change.
  document.addEventListener("change", (event) => {
    if (event.target.closest("form[data-auto]")) event.target.form.requestSubmit();
  });
})();
