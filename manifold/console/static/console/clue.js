// The first bytes of a file that is looked at go to the form beside it; the file itself stays where it is.
(function () {
  "use strict";

  document.addEventListener("change", async (event) => {
    const chooser = event.target.closest("input[data-clue]");
    const file = chooser?.files[0];
    if (!file) return;
    const form = chooser.form;
    const bytes = new Uint8Array(await file.slice(0, Number(chooser.dataset.clue)).arrayBuffer());
    form.elements.sample.value = btoa(Array.from(bytes, (each) => String.fromCharCode(each)).join(""));
    form.elements.name.value = file.name.slice(0, 200);
    form.elements.text.value = "";
    form.querySelector(".clue-name").textContent = file.name;
    form.requestSubmit();
  });

  // Whoever writes again means what is written.
  document.addEventListener("input", (event) => {
    if (event.target.id !== "text") return;
    const form = event.target.form;
    form.elements.sample.value = form.elements.name.value = "";
    form.querySelector(".clue-name").textContent = "";
  });
})();
