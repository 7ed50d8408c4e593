// The steps of a wizard are parts of one page. Each is read from its beginning, and the browser's Back leads to the one before.
(function () {
  "use strict";

  const steps = [...document.querySelectorAll("[data-step]")];
  let shown = steps[0];
  if (!history.state) history.replaceState({ step: shown.id }, "");

  document.addEventListener("htmx:afterSwap", (event) => {
    const step = event.detail.target;
    if (!step.matches("[data-step]")) return;
    if (history.state?.step !== step.id) history.pushState({ step: step.id }, "");
    begin(step);
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-back]")) history.back();
  });

  // Only what comes before is kept: Forward, or Back after the page was loaded anew, may lead to a step that is empty.
  window.addEventListener("popstate", (event) => {
    if (!event.state) {
      // A link to a place of this page was followed: still the same step.
      history.replaceState({ step: shown.id }, "");
      return;
    }
    const at = event.state.step ? steps.findIndex((each) => each.id === event.state.step) : 0;
    if (!steps[at].hasChildNodes()) {
      history.back();
      return;
    }
    steps.slice(at + 1).forEach((each) => each.replaceChildren());
    begin(steps[at]);
  });

  function begin(step) {
    shown = step;
    window.scrollTo(0, 0);
    step.querySelector("h2")?.focus({ preventScroll: true });
  }
})();
