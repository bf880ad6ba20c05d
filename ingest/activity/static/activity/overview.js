/* The overview: draws the charts, and refreshes all figures every ten seconds while the tab is visible.
   Without scripts the page shows the figures of the moment at which it was loaded. */
"use strict";
(() => {
  const page = document.getElementById("overview");
  if (!page) return;
  const connection = document.getElementById("ov-connection");
  const charts = {};
  let isAsking = false;

  const color = (name) => getComputedStyle(page).getPropertyValue(`--ov-${name}`).trim();
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const shown = (value, unit) => {
    if (unit !== "bytes") return value.toLocaleString("en");
    let power = 0;
    while (value >= 1000 && power < units.length - 1) { value /= 1000; power += 1; }
    return `${value.toLocaleString("en", { maximumFractionDigits: 1 })} ${units[power]}`;
  };

  const datasets = (chart) => chart.series.map((one) => ({
    label: one.label, data: one.values, backgroundColor: color(one.color), borderWidth: 0, color: one.color,
  }));

  function draw(name, chart) {
    const canvas = page.querySelector(`canvas[data-chart="${name}"]`);
    if (!canvas || typeof Chart === "undefined") return;
    if (charts[name]) {
      charts[name].data.labels = chart.labels;
      charts[name].data.datasets.forEach((set, index) => { set.data = chart.series[index].values; });
      charts[name].update("none");
      return;
    }
    const isStacked = name === "records";
    charts[name] = new Chart(canvas, {
      type: "bar",
      data: { labels: chart.labels, datasets: datasets(chart) },
      options: {
        animation: false, responsive: true, maintainAspectRatio: false, interaction: { mode: "index", intersect: false },
        plugins: {
          legend: { display: chart.series.length > 1, align: "end", labels: { boxWidth: 10, boxHeight: 10 } },
          tooltip: { callbacks: { label: (item) => `${item.dataset.label}: ${shown(item.parsed.y, chart.unit)}` } },
        },
        scales: {
          x: { stacked: isStacked, grid: { display: false }, ticks: { maxTicksLimit: 8, maxRotation: 0 } },
          y: { stacked: isStacked, beginAtZero: true, ticks: { precision: 0, maxTicksLimit: 5, callback: (v) => shown(v, chart.unit) } },
        },
      },
    });
    paint(charts[name]);
  }

  function paint(chart) {
    chart.data.datasets.forEach((set) => { set.backgroundColor = color(set.color); });
    chart.options.plugins.legend.labels.color = color("soft");
    for (const scale of Object.values(chart.options.scales)) scale.ticks.color = color("soft");
    chart.options.scales.y.grid = { color: color("line") };
    chart.update("none");
  }

  function replace(place, html) {
    if (place.dataset.html === html) return;
    const focused = place.contains(document.activeElement) ? document.activeElement.id : "";
    place.dataset.html = html;
    place.innerHTML = html;
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  function show(found) {
    for (const [name, html] of Object.entries(found.parts)) {
      const place = page.querySelector(`[data-part="${name}"]`);
      if (place) replace(place, html);
    }
    for (const [name, html] of Object.entries(found.tables)) {
      const place = page.querySelector(`[data-table="${name}"]`);
      if (place) replace(place, html);
    }
    for (const [name, chart] of Object.entries(found.charts)) {
      page.querySelector(`canvas[data-chart="${name}"]`)?.setAttribute("aria-label", chart.summary);
      draw(name, chart);
    }
    if (found.figures.batches > 0) page.querySelector(".ov-empty")?.remove();
  }

  function say(text) {
    if (connection.textContent !== text) connection.textContent = text;
    connection.hidden = !text;
  }

  async function refresh() {
    if (document.hidden || isAsking) return;
    isAsking = true;
    try {
      const answer = await fetch(page.dataset.refreshUrl, {
        headers: { Accept: "application/json" }, signal: AbortSignal.timeout(15000),
      });
      if (answer.redirected) say("You are signed out: reload the page to sign in.");
      else if (!answer.ok) say("The figures cannot be refreshed. The next attempt is in ten seconds.");
      else { show(await answer.json()); say(""); }
    } catch {
      say("The figures cannot be refreshed. The next attempt is in ten seconds.");
    } finally {
      isAsking = false;
    }
  }

  const first = JSON.parse(document.getElementById("ov-charts").textContent);
  for (const [name, chart] of Object.entries(first)) draw(name, chart);
  new MutationObserver(() => Object.values(charts).forEach(paint))
    .observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => Object.values(charts).forEach(paint));
  document.getElementById("ov-workspace").addEventListener("change", (event) => event.target.form.requestSubmit());
  document.addEventListener("visibilitychange", refresh);
  setInterval(refresh, 1000 * Number(page.dataset.refreshSeconds));
  refresh();
})();
