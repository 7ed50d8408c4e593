// The answer of a query: pages of a hundred rows, sorted by a click, and downloads of the whole.
(function () {
  "use strict";

  const PAGE = 100;
  const NUMBER = /^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL)/;
  const amount = (value) => Number(value).toLocaleString("en");

  function size(bytes) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let value = bytes;
    let unit = 0;
    while (value >= 1000 && unit < units.length - 1) { value /= 1000; unit += 1; }
    return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
  }

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null) element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  function compare(a, b, number) {
    if (a === null || b === null) return (a === null) - (b === null);
    return number ? Number(a) - Number(b) : a < b ? -1 : a > b ? 1 : 0;
  }

  // In the browser where everything is here; else the whole answer is sorted where the data is.
  function sorted(answer, order) {
    const at = Math.abs(order) - 1;
    const number = NUMBER.test(answer.columns[at].type);
    const rows = [...answer.rows];
    rows.sort((a, b) => (a[at] === null || b[at] === null ? compare(a[at], b[at]) : Math.sign(order) * compare(a[at], b[at], number)));
    return rows;
  }

  function show(place, answer, { api, order, again }) {
    let rows = answer.rows;
    let by = order;
    let first = 0;

    function heads() {
      return make("tr", {}, ...answer.columns.map((column, index) => {
        const here = Math.abs(by) === index + 1;
        const button = make("button", { type: "button", title: "Sort" }, column.name, here ? (by > 0 ? " ↑" : " ↓") : "", make("small", {}, column.type));
        button.addEventListener("click", () => {
          const next = here && by > 0 ? -(index + 1) : index + 1;
          if (answer.truncated) return again(next);
          by = next;
          rows = sorted(answer, by);
          first = 0;
          draw();
        });
        return make("th", { class: NUMBER.test(column.type) && "num", "aria-sort": here ? (by > 0 ? "ascending" : "descending") : false }, button);
      }));
    }

    function cell(value, index) {
      if (value === null) return make("td", {}, make("span", { class: "null" }, "null"));
      return make("td", { class: NUMBER.test(answer.columns[index].type) && "num", title: String(value).length > 40 && String(value) }, String(value));
    }

    function pager() {
      if (rows.length <= PAGE) return "";
      const back = make("button", { type: "button", class: "btn small", disabled: first === 0 }, "Back");
      const on = make("button", { type: "button", class: "btn small", disabled: first + PAGE >= rows.length }, "Next");
      back.addEventListener("click", () => { first -= PAGE; draw(); });
      on.addEventListener("click", () => { first += PAGE; draw(); });
      const shown = `${amount(first + 1)} to ${amount(Math.min(first + PAGE, rows.length))} of ${amount(rows.length)}`;
      return make("footer", { class: "row" }, make("span", { class: "grow" }, shown), back, on);
    }

    function downloads() {
      const forms = { csv: "CSV", parquet: "Parquet", json: "JSON", ndjson: "JSON lines" };
      return make("span", { class: "aside row" }, ...Object.entries(forms).map(([form, name]) =>
        make("a", { class: "btn small", href: `${api}queries/${answer.id}/download/?format=${form}&order=${by}`, download: true }, name)));
    }

    function draw() {
      const count = `${amount(answer.row_count)}${answer.truncated ? "+" : ""} ${answer.row_count === 1 ? "row" : "rows"}`;
      const facts = `${answer.seconds.toFixed(2)} s · ${size(answer.bytes_scanned)} scanned`;
      const head = make("header", {}, make("h2", {}, count), make("span", { class: "muted small" }, facts), downloads());
      const advice = answer.advice ? make("div", { class: "callout warn sql-advice" }, answer.advice) : "";
      const table = make("table", { class: "table cells" }, make("thead", {}, heads()), make("tbody", {}, ...rows.slice(first, first + PAGE).map((row) => make("tr", {}, ...row.map(cell)))));
      const empty = make("div", { class: "empty slim" }, "No row fits.");
      place.replaceChildren(head, advice, rows.length ? make("div", { class: "scroll tall sql-rows", tabindex: "0", role: "region", "aria-label": "Rows" }, table) : empty, pager());
    }

    draw();
  }

  function refuse(place, problem, goTo) {
    const where = problem.evidence || {};
    const box = make("div", { class: `callout ${problem.code === "query_cancelled" ? "warn" : "bad"}`, role: "alert" }, make("h3", {}, problem.detail || problem.title || "The query failed."));
    for (const each of problem.errors || []) {
      if (problem.detail && problem.detail.includes(each.message)) continue;
      box.append(make("p", { class: "small" }, `${each.field}: ${each.message}`));
    }
    if (problem.code) box.append(make("p", { class: "muted small" }, make("code", {}, problem.code)));
    if (where.line) {
      const button = make("button", { type: "button", class: "btn small" }, `Go to line ${where.line}`);
      button.addEventListener("click", () => goTo(where.line, where.column || 1));
      box.append(make("div", { class: "more" }, button));
    }
    place.replaceChildren(make("div", { class: "body" }, box));
  }

  function wait(place) {
    const clock = make("span", { class: "num", "data-since": new Date().toISOString() }, "0 s");
    const bars = Array.from({ length: 6 }, () => make("span", { class: "skeleton", style: "height: 16px" }));
    place.replaceChildren(make("header", {}, make("h2", {}, "Running"), make("span", { class: "aside" }, clock)), make("div", { class: "body stack tight" }, ...bars));
  }

  window.ManifoldAnswer = { show, refuse, wait, make };
})();
