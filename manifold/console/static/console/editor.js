// The document editor: line numbers, Tab and Enter that keep the indentation, and problems that lead to their line.
(function () {
  "use strict";

  document.addEventListener("DOMContentLoaded", () => {
    const text = document.getElementById("text");
    const gutter = document.getElementById("gutter");
    const unsaved = document.getElementById("unsaved");
    if (!text) return;
    const saved = text.value;
    let wrong = new Set();

    function number() {
      const lines = text.value.split("\n").length;
      gutter.replaceChildren(...Array.from({ length: lines + 1 }, (_, index) => {
        const line = document.createElement("i");
        line.textContent = index < lines ? String(index + 1) : "\u00a0";
        line.classList.toggle("wrong", wrong.has(index + 1));
        return line;
      }));
      gutter.scrollTop = text.scrollTop;
    }

    function insert(given) {
      // execCommand keeps the browser's own undo, which setting the value would lose.
      document.execCommand("insertText", false, given);
    }

    function indent(back) {
      const start = text.value.lastIndexOf("\n", text.selectionStart - 1) + 1;
      if (!back && text.selectionStart === text.selectionEnd) return insert("  ");
      const end = text.selectionEnd;
      const block = text.value.slice(start, end);
      const moved = back ? block.replace(/^ {1,2}/gm, "") : block.replace(/^/gm, "  ");
      text.setSelectionRange(start, end);
      insert(moved);
      text.setSelectionRange(start, start + moved.length);
    }

    let escaped = false;
    text.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        escaped = true; // Escape, then Tab leaves the editor, so that the keyboard is never trapped.
      } else if (event.key === "Tab" && !escaped) {
        event.preventDefault();
        indent(event.shiftKey);
      } else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
        const start = text.value.lastIndexOf("\n", text.selectionStart - 1) + 1;
        const line = text.value.slice(start, text.selectionStart);
        event.preventDefault();
        insert("\n" + line.match(/^ */)[0] + (line.trimEnd().endsWith(":") ? "  " : ""));
      } else if (event.key === "s" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        text.form.querySelector('button[value="draft"]').click();
      } else if (event.key !== "Shift") {
        escaped = false;
      }
    });

    text.addEventListener("input", () => {
      unsaved.hidden = text.value === saved;
      number();
    });
    text.addEventListener("scroll", () => { gutter.scrollTop = text.scrollTop; });

    document.addEventListener("htmx:afterSwap", (event) => {
      if (event.detail.target.id !== "problems") return;
      wrong = new Set([...document.querySelectorAll("#problems [data-line]")].map((each) => Number(each.dataset.line)));
      number();
    });

    document.addEventListener("click", (event) => {
      const problem = event.target.closest("#problems [data-line]");
      if (!problem) return;
      const lines = text.value.split("\n");
      const line = Math.min(Number(problem.dataset.line), lines.length);
      const start = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
      text.focus();
      text.setSelectionRange(start + Math.min(Number(problem.dataset.column) - 1, lines[line - 1].length), start + lines[line - 1].length);
      text.scrollTop = Math.max(0, (line - 5) * 20);
    });

    let leaving = false;
    text.form.addEventListener("submit", () => { leaving = true; });
    window.addEventListener("beforeunload", (event) => {
      if (!leaving && text.value !== saved) event.preventDefault();
    });
    number();
  });
})();
