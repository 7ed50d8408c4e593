// Draws the graph of a document or a run. The elements stand in a JSON block; a run's states come with every poll.
(function () {
  "use strict";

  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const TONES = {
    succeeded: "ok", reused: "ok", running: "live", failed: "bad", retry_wait: "warn", ready: "live",
  };
  let graph = null;
  let drawn = "";

  function read(id) {
    const block = id && document.getElementById(id);
    return block ? JSON.parse(block.textContent) : null;
  }

  function style() {
    const tones = {
      ok: [token("--ok-bar"), token("--ok-soft")],
      live: [token("--accent"), token("--accent-soft")],
      warn: [token("--warn-bar"), token("--warn-soft")],
      bad: [token("--bad-bar"), token("--bad-soft")],
    };
    const rules = [
      {
        selector: "node",
        style: {
          shape: "round-rectangle",
          width: "data(width)",
          height: 46,
          label: "data(label)",
          "text-valign": "center",
          "text-halign": "center",
          "text-wrap": "wrap",
          "text-max-width": "400px",
          "line-height": 1.35,
          "font-family": "Inter, system-ui, sans-serif",
          "font-size": 12,
          "font-weight": 500,
          color: token("--text"),
          "background-color": token("--raised"),
          "border-width": 1.25,
          "border-color": token("--line-strong"),
          "overlay-opacity": 0,
        },
      },
      {
        selector: "edge",
        style: {
          width: 1.4,
          "curve-style": "bezier",
          "line-color": token("--line-strong"),
          "target-arrow-color": token("--line-strong"),
          "target-arrow-shape": "triangle",
          "arrow-scale": 0.8,
          "overlay-opacity": 0,
        },
      },
      // No data goes along it: the one step waits for the end of the other.
      { selector: "edge[?waits]", style: { "line-style": "dashed" } },
      { selector: 'node[kind="extract"], node[kind="load"]', style: { "background-color": token("--sunken") } },
      { selector: 'node[state="skipped"], node[state="cancelled"]', style: { opacity: 0.5, "border-style": "dashed" } },
    ];
    for (const [state, tone] of Object.entries(TONES)) {
      rules.push({
        selector: `node[state="${state}"]`,
        style: { "border-color": tones[tone][0], "background-color": tones[tone][1], "border-width": 1.75 },
      });
    }
    return rules;
  }

  // On a small screen the graph stands upright, and its nodes say only their name and kind.
  const narrow = () => (document.querySelector("[data-graph]")?.clientWidth || 0) < 600;

  const measure = document.createElement("canvas").getContext("2d");

  function shorten(text) {
    return text.length > 34 ? `${text.slice(0, 32)}…` : text;
  }

  function dress(data, states) {
    const now = states?.[data.id];
    const rows = now && now.rows && !narrow() ? ` · ${now.rows.toLocaleString("en")}` : "";
    const label = `${shorten(data.id)}\n${narrow() ? data.kind : shorten(data.what)}${rows}`;
    measure.font = "500 12px Inter, system-ui, sans-serif";
    const width = Math.max(...label.split("\n").map((line) => measure.measureText(line).width)) + (narrow() ? 18 : 28);
    return { ...data, label, width: Math.max(narrow() ? 64 : 96, Math.ceil(width)), state: now?.state || "" };
  }

  // Steps of one kind are equally wide, so that columns of them have straight edges.
  function aligned(elements) {
    const widest = {};
    for (const { data } of elements) {
      if (!data.source) widest[data.kind] = Math.max(widest[data.kind] || 0, data.width);
    }
    return elements.map(({ data }) => (data.source ? { data } : { data: { ...data, width: widest[data.kind] } }));
  }

  // A graph that would be too small to read keeps a readable size, and is dragged.
  const READABLE = 0.62;

  function fit() {
    graph.resize();
    graph.fit(undefined, narrow() ? 10 : 20);
    const drags = graph.zoom() < READABLE;
    graph.userPanningEnabled(drags);
    graph.container().toggleAttribute("data-drags", drags);
    if (drags) {
      graph.zoom(READABLE);
      graph.center();
      const box = graph.elements().renderedBoundingBox();
      graph.panBy({ x: Math.max(0, 20 - box.x1), y: Math.max(0, 20 - box.y1) });
    } else if (graph.zoom() > 1) {
      graph.zoom(1);
      graph.center();
    }
  }

  function draw() {
    const place = document.querySelector("[data-graph]");
    if (!place || typeof cytoscape === "undefined") return;
    const elements = read(place.dataset.graph);
    if (!elements) return;
    const states = read(place.dataset.states);
    const text = JSON.stringify(elements);
    if (text === drawn && graph) return paint(states);
    if (!elements.length) return; // Half a document has no graph: the last one stays, or the text that says so.
    drawn = text;
    graph?.destroy();
    graph = cytoscape({
      container: place,
      elements: aligned(elements.map((each) => (each.data.source ? each : { data: dress(each.data, states) }))),
      style: style(),
      layout: {
        name: "dagre",
        rankDir: narrow() ? "TB" : "LR",
        nodeSep: narrow() ? 10 : 18,
        rankSep: narrow() ? 24 : 46,
        edgeSep: 12,
        animate: false,
      },
      userZoomingEnabled: false,
      autoungrabify: true,
      boxSelectionEnabled: false,
      minZoom: 0.25,
      maxZoom: 1.6,
    });
    fit();
  }

  function paint(states) {
    if (!graph || !states) return;
    graph.batch(() => graph.nodes().forEach((node) => {
      const { id, kind, what, width } = node.data();
      const now = dress({ id, kind, what }, states);
      node.data({ ...now, width: Math.max(width, now.width) });
    }));
  }

  document.addEventListener("DOMContentLoaded", () => {
    const begin = () => draw();
    (document.fonts?.ready || Promise.resolve()).then(begin, begin);
  });
  document.addEventListener("htmx:afterSwap", draw);
  document.addEventListener("manifold:theme", () => graph?.style(style()));
  let waiting = 0;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => graph && fit(), 120);
  });
})();
