// A form shows the fields that apply: data-when and data-wanted hold the values of others under which a field is shown, and needed.
(function () {
  "use strict";

  const box = (field) => field.querySelector("input:not([name*='remove-']), select, textarea");

  function value(field) {
    const entry = field && box(field);
    if (!entry || entry.disabled) return null;
    if (entry.type === "checkbox") return entry.checked;
    return entry.value.trim() || ("known" in field.dataset ? true : "");
  }

  // An empty list of values is any value. A field that is not shown holds none.
  function holds(form, condition) {
    return Object.entries(JSON.parse(condition)).every(([name, wanted]) => {
      const entry = form.elements[`param-${name}`];
      const found = entry ? value(entry.closest(".field")) : null;
      return wanted.length ? wanted.includes(found) : Boolean(found);
    });
  }

  // What is hidden is not sent, and keeps what was typed into it.
  function show(form) {
    form.querySelectorAll("[data-when]").forEach((field) => {
      field.hidden = !holds(form, field.dataset.when);
      field.querySelectorAll("input, select, textarea").forEach((each) => { each.disabled = field.hidden; });
      field.querySelectorAll("[data-note]").forEach((note) => { note.hidden = true; });
    });
    form.querySelectorAll("[data-wanted]").forEach((field) => {
      const wanted = !field.hidden && holds(form, field.dataset.wanted);
      box(field).required = wanted && !("known" in field.dataset);
      const mark = field.querySelector(".optional");
      if (mark) mark.hidden = wanted;
    });
  }

  function showAll() {
    new Set([...document.querySelectorAll("[data-when]")].map((field) => field.closest("form"))).forEach(show);
  }

  document.addEventListener("input", (event) => {
    if (event.target.form?.querySelector("[data-when]")) show(event.target.form);
  });
  document.addEventListener("DOMContentLoaded", showAll);
  document.addEventListener("htmx:afterSwap", showAll);
  window.addEventListener("pageshow", showAll);
})();
