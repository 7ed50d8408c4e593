// The SQL page: runs and stops queries, asks for parameters, saves, and keeps the lists beside it fresh. All through the API.
(function () {
  "use strict";

  document.addEventListener("DOMContentLoaded", () => {
    const page = document.getElementById("sql");
    if (!page) return;
    const { make } = window.ManifoldAnswer;
    const byId = (id) => document.getElementById(id);
    const known = JSON.parse(byId("sql-workbench").textContent);
    const { api } = page.dataset;
    const headers = { ...JSON.parse(document.body.getAttribute("hx-headers")), "Content-Type": "application/json", Accept: "application/json" };
    const values = new Map(known.parameters.map((each) => [each.name, { type: each.type, value: each.default === null ? "" : String(each.default) }]));
    let running = null;
    let marked = null;

    const editor = window.ManifoldSql.open(byId("sql-text"), known, () => run());

    async function call(method, path, body) {
      let answer;
      try {
        answer = await fetch(api + path, { method, headers, credentials: "same-origin", body: body === undefined ? undefined : JSON.stringify(body) });
      } catch {
        throw { detail: "The server does not answer. Look whether it is running, and try again." };
      }
      if (answer.status === 401) location.reload();
      const said = answer.status === 204 ? null : await answer.json().catch(() => ({ detail: `The server answered ${answer.status}.` }));
      if (!answer.ok) throw said;
      return said;
    }

    function toast(text, level = "success") {
      const box = make("div", { class: `toast ${level}` }, make("div", {}, text));
      document.querySelector(".toasts").append(box);
      setTimeout(() => box.remove(), 6000);
    }

    function newId() {
      const bytes = crypto.getRandomValues(new Uint8Array(16));
      bytes[6] = (bytes[6] & 15) | 64;
      bytes[8] = (bytes[8] & 63) | 128;
      const hex = [...bytes].map((each) => each.toString(16).padStart(2, "0")).join("");
      return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
    }

    // ---- Parameters

    function ask() {
      const names = window.ManifoldSql.parametersOf(editor.getValue());
      const place = byId("sql-parameters");
      place.hidden = names.length === 0;
      if (place.dataset.names === names.join()) return;
      place.dataset.names = names.join();
      place.replaceChildren(...names.map(field));
    }

    function field(name) {
      const kept = values.get(name) || { type: "text", value: "" };
      values.set(name, kept);
      const kind = make("select", { class: "select small", "aria-label": `Type of ${name}` }, ...known.kinds.map((each) => make("option", { selected: each === kept.type }, each)));
      const value = make("input", { class: "input small mono", id: `sql-p-${name}`, autocomplete: "off" });
      const suit = () => { value.placeholder = { date: "2026-01-31", timestamp: "2026-01-31T08:00", boolean: "true", integer: "42", number: "12.50" }[kept.type] || ""; };
      value.value = kept.value;
      suit();
      kind.addEventListener("change", () => { kept.type = kind.value; suit(); });
      value.addEventListener("input", () => { kept.value = value.value; });
      value.addEventListener("keydown", (event) => { if (event.key === "Enter") run(); });
      return make("div", { class: "sql-parameter" }, make("label", { for: value.id }, make("code", {}, `$${name}`)), kind, value);
    }

    function given() {
      return window.ManifoldSql.parametersOf(editor.getValue()).map((name) => ({ name, ...values.get(name) }));
    }

    // ---- Running

    function busy(id) {
      running = id;
      byId("sql-run").disabled = Boolean(id);
      byId("sql-run").classList.toggle("busy", Boolean(id));
      byId("sql-stop").hidden = !id;
    }

    async function run(order = 0) {
      if (running) return;
      ask();
      const place = byId("sql-answer");
      const id = newId();
      if (marked !== null) editor.removeLineClass(marked, "background", "sql-wrong");
      marked = null;
      busy(id);
      window.ManifoldAnswer.wait(place);
      const body = { id, sql: editor.getValue(), parameters: given(), order, limit: Number(byId("sql-limit").value) };
      if (page.dataset.saved && editor.isClean()) {
        body.saved = page.dataset.saved;
        delete body.sql;
      }
      try {
        window.ManifoldAnswer.show(place, await call("POST", "queries/", body), { api, order, again: run });
      } catch (problem) {
        window.ManifoldAnswer.refuse(place, problem, goTo);
        if (problem.evidence?.line) marked = editor.addLineClass(problem.evidence.line - 1, "background", "sql-wrong");
      }
      busy(null);
      htmx.trigger("#sql-history", "ran");
    }

    function goTo(line, column) {
      editor.focus();
      editor.setCursor({ line: line - 1, ch: column - 1 });
    }

    async function stop(id) {
      try {
        await call("POST", `queries/${id}/cancel/`);
        toast("The query is being stopped.");
      } catch (problem) {
        // The wish may have overtaken the query on its way to the server.
        if (problem.status === 404 && running === id) {
          setTimeout(() => { if (running === id) stop(id); }, 250);
          return;
        }
        toast(problem.detail, "error");
      }
      if (!running) htmx.trigger("#sql-history", "ran");
    }

    // ---- Saving

    const dialog = byId("sql-dialog");

    async function keep(slug) {
      const wrong = byId("sql-dialog-wrong");
      wrong.hidden = true;
      const parameters = given().map(({ name, type, value }) => ({ name, type, default: value === "" ? null : value }));
      const body = { title: byId("sql-name").value, sql: editor.getValue(), parameters };
      try {
        const kept = await call(slug ? "PATCH" : "POST", slug ? `saved-queries/${slug}/` : "saved-queries/", body);
        page.dataset.saved = kept.slug;
        editor.markClean();
        byId("sql-title").textContent = kept.title;
        history.replaceState(null, "", `${page.dataset.page}?saved=${kept.slug}`);
        dialog.close();
        toast(`“${kept.title}” is saved.`);
        htmx.trigger("#sql-saved", "saved");
      } catch (problem) {
        wrong.textContent = problem.detail;
        wrong.hidden = false;
      }
    }

    async function forget(slug, title) {
      if (!window.confirm(`Delete “${title}”? The history keeps what was run.`)) return;
      try {
        await call("DELETE", `saved-queries/${slug}/`);
        if (page.dataset.saved === slug) page.dataset.saved = "";
        toast(`“${title}” is deleted.`);
        htmx.trigger("#sql-saved", "saved");
      } catch (problem) {
        toast(problem.detail, "error");
      }
    }

    // ---- Wiring

    byId("sql-run").addEventListener("click", () => run());
    byId("sql-stop").addEventListener("click", () => stop(running));
    byId("sql-keep")?.addEventListener("click", () => {
      const own = page.dataset.saved && document.querySelector(`[data-forget="${page.dataset.saved}"]`);
      byId("sql-save-new").hidden = !own;
      byId("sql-dialog-wrong").hidden = true;
      dialog.showModal();
    });
    byId("sql-save").addEventListener("click", () => keep(byId("sql-save-new").hidden ? "" : page.dataset.saved));
    byId("sql-save-new").addEventListener("click", () => keep(""));
    byId("sql-leave").addEventListener("click", () => dialog.close());
    byId("sql-name").addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      byId("sql-save").click();
    });
    page.addEventListener("click", (event) => {
      const insert = event.target.closest("[data-insert]");
      if (insert) {
        editor.replaceSelection(window.ManifoldSql.quoted(insert.dataset.insert));
        editor.focus();
      }
      const gone = event.target.closest("[data-forget]");
      if (gone) forget(gone.dataset.forget, gone.dataset.title);
      const cancelled = event.target.closest("[data-cancel]");
      if (cancelled) stop(cancelled.dataset.cancel);
    });
    editor.on("change", ask);
    editor.markClean();
    ask();
  });
})();
