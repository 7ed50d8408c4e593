// The form of a schedule shows only what belongs to the choice; moments are shown on the clock of whoever looks.
(function () {
  "use strict";

  function fit(form) {
    const when = form.elements.when.value;
    form.querySelectorAll("[data-for]").forEach((each) => { each.hidden = !each.dataset.for.split(" ").includes(when); });
    form.querySelectorAll("[data-missed]").forEach((each) => { each.hidden = each.dataset.missed !== form.elements.missed.value; });
    form.querySelectorAll("[data-set]").forEach((each) => { each.hidden = when === "never"; });
  }

  function tell(root) {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    root.querySelectorAll("[data-yours]").forEach((each) => {
      const moment = new Date(each.getAttribute("datetime"));
      const parts = { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };
      each.textContent = `${moment.toLocaleString("en-GB", parts)} on your clock`;
      each.title = zone;
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    const form = document.querySelector("[data-schedule]");
    if (form) {
      fit(form);
      form.addEventListener("change", () => fit(form));
    }
    tell(document);
  });
  document.addEventListener("htmx:afterSwap", (event) => tell(event.target));
})();
