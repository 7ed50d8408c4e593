// Draws the history of runs with the theme's Chart.js. The numbers stand in JSON blocks, the colours are the console's.
(function () {
  "use strict";

  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const tones = () => ({
    ok: token("--ok-bar"), warn: token("--warn-bar"), bad: token("--bad-bar"), none: token("--line-strong"),
  });
  let drawn = [];

  function duration(seconds) {
    if (!seconds) return "0";
    if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
    if (seconds < 60) return `${Number(seconds.toFixed(1))} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
    return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
  }

  function compact(number) {
    return new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(number);
  }

  function bytes(size) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let unit = 0;
    for (; size >= 1000 && unit < 4; unit += 1) size /= 1000;
    return `${Number(size.toFixed(1))} ${units[unit]}`;
  }

  // Round steps in seconds, so that an axis says 30 s and not 33.3 s.
  function step(longest) {
    const round = [.01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200];
    return round.find((each) => longest / each <= 4) || 86400;
  }

  function dataOf(kind, data) {
    const colours = tones();
    if (kind === "days") {
      const labels = { ok: "succeeded", warn: "with warnings", bad: "failed", none: "other" };
      return Object.keys(labels).map((each) => (
        { label: labels[each], data: data[each], backgroundColor: colours[each], stack: "one", maxBarThickness: 22 }
      ));
    }
    return [{
      data: data[kind],
      backgroundColor: ["rows", "bytes", "calls"].includes(kind) ? token("--accent") : data.state.map((each) => colours[each]),
      maxBarThickness: 14,
      minBarLength: 2,
      borderRadius: 2,
    }];
  }

  function options(kind, data, link) {
    const text = { color: token("--muted"), font: { family: "Inter, system-ui, sans-serif", size: 11 } };
    const shown = { seconds: duration, bytes }[kind] || compact;
    const units = { rows: " rows", calls: " requests" };
    return {
      maintainAspectRatio: false,
      animation: false,
      interaction: { mode: "index", intersect: false },
      onClick: (_, hit) => { if (link && hit.length) location.href = `${link}${data.ids[hit[0].index]}/`; },
      onHover: (event, hit) => { event.native.target.style.cursor = link && hit.length ? "pointer" : ""; },
      scales: {
        x: {
          stacked: true, grid: { display: false }, border: { color: token("--line-strong") },
          ticks: { ...text, display: kind === "days", maxRotation: 0, autoSkipPadding: 20 },
        },
        y: {
          stacked: true, beginAtZero: true, grid: { color: token("--line") }, border: { display: false },
          ticks: {
            ...text, maxTicksLimit: 5, callback: shown, ...(kind === "days" || units[kind] ? { precision: 0 } : {}),
            ...(kind === "seconds" ? { stepSize: step(Math.max(...data.seconds)) } : {}),
          },
        },
      },
      plugins: {
        legend: { display: false },
        tooltip: {
          callbacks: kind === "days" ? {} : {
            label: (item) => (units[kind] ? item.raw.toLocaleString("en") + units[kind] : shown(item.raw)),
          },
        },
      },
    };
  }

  function draw() {
    if (typeof Chart === "undefined") return;
    const places = document.querySelectorAll("canvas[data-chart]");
    const made = [...places].map((place) => {
      const data = JSON.parse(document.getElementById(place.dataset.from).textContent);
      const kind = place.dataset.chart;
      return new Chart(place, {
        type: "bar",
        data: { labels: data.at, datasets: dataOf(kind, data) },
        options: options(kind, data, place.dataset.link),
      });
    });
    drawn = made;
  }

  document.addEventListener("DOMContentLoaded", draw);
  document.addEventListener("manifold:theme", () => {
    if (!drawn.length) return;
    drawn.forEach((each) => each.destroy());
    draw();
  });
})();
