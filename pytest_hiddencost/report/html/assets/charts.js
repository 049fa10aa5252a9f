// Charts: drawn when they come into view, and again when the theme changes.

const drawnCharts = new Set();
let watcher = null;

// Adds a chart to a parent. "build" returns traces and layout for the colours it is given.
function chart(parent, title, build, options) {
  const settings = options || {};
  const plot = make("div", { class: "plot", role: "img", "aria-label": settings.label || title });
  plot.style.height = (settings.height || 320) + "px";
  const figure = make("figure", { class: "chart" },
    make("h3", {}, title),
    settings.key || null,
    plot,
    settings.note ? make("figcaption", {}, settings.note) : null,
    settings.table ? make("details", {}, make("summary", {}, "The same as a table"), settings.table) : null);
  parent.append(figure);
  plot.build = build;
  plot.afterwards = settings.afterwards;
  if (watcher === null) {
    watcher = new IntersectionObserver((entries) => {
      for (const entry of entries) if (entry.isIntersecting) draw(entry.target);
    }, { rootMargin: "200px" });
  }
  watcher.observe(plot);
  return plot;
}

async function draw(plot) {
  watcher.unobserve(plot);
  try {
    const library = await plotly();
    if (!plot.isConnected) return;
    const found = plot.build(colours(), isNarrow());
    await library.react(plot, found.traces, layoutOf(found.layout, colours()), {
      displaylogo: false,
      responsive: true,
      displayModeBar: isNarrow() ? false : "hover",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    });
    if (!drawnCharts.has(plot) && plot.afterwards) plot.afterwards(plot, library);
    drawnCharts.add(plot);
    plot.dataset.drawn = "yes";
  } catch (error) {
    complain(error);
  }
}

function redrawCharts() {
  for (const plot of drawnCharts) if (plot.isConnected) draw(plot);
}

// Frees the charts inside an element that is about to be emptied.
function dropCharts(parent) {
  for (const plot of parent.querySelectorAll(".plot")) {
    if (watcher !== null) watcher.unobserve(plot);
    if (drawnCharts.delete(plot)) window.Plotly.purge(plot);
  }
}

function layoutOf(own, colour) {
  const axis = { gridcolor: colour.line, linecolor: colour.line, zerolinecolor: colour.soft, automargin: true, fixedrange: isNarrow() };
  const layout = {
    paper_bgcolor: colour.page,
    plot_bgcolor: colour.page,
    font: { color: colour.text, family: "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", size: 12 },
    margin: { l: 8, r: 16, t: 8, b: 8 },
    hoverlabel: { align: "left", bgcolor: colour.card, bordercolor: colour.soft, font: { color: colour.text } },
    legend: { orientation: "h", y: -0.25, x: 0, font: { size: 11 } },
    dragmode: isNarrow() ? false : "zoom",
    ...own,
  };
  for (const name of ["xaxis", "yaxis"]) {
    const given = own[name] || {};
    const title = given.title ? { text: plotText(given.title), standoff: 8 } : undefined;
    layout[name] = { ...axis, ...given, title };
  }
  return layout;
}

// An axis of names, the first on top; two of the same name stay two.
function nameAxis(names, narrow) {
  return {
    tickvals: names.map((_, i) => i),
    ticktext: names.map((name) => plotText(cut(name, narrow ? 20 : 44))),
    range: [names.length - 0.4, -0.6],
    showgrid: false,
    zeroline: false,
  };
}

const rowsHeight = (count, each) => Math.max(150, 80 + count * (each || 26));

function stackedShares(names, parts, hover) {
  return (colour, narrow) => ({
    traces: Object.entries(parts).map(([part, shares], i) => ({
      type: "bar", orientation: "h", name: plotText(part),
      y: names.map((_, row) => row),
      x: shares.map((share) => 100 * Math.max(0, share || 0)),
      marker: { color: SERIES[i % SERIES.length], line: { color: colour.page, width: 1 },
        pattern: { shape: PATTERNS[i % PATTERNS.length], fgcolor: "#ffffff", fgopacity: 0.4, size: 6, fillmode: "overlay" } },
      text: shares.map((share) => (share >= 0.06 ? percent(share) : "")),
      textposition: "inside", insidetextanchor: "middle", textangle: 0,
      insidetextfont: { size: 11, color: SERIES_TEXT[i % SERIES_TEXT.length] },
      hoverinfo: "text",
      hovertext: shares.map((share, row) => plotText(`${names[row]}: ${part} ${percent(share || 0)}${hover ? hover(row) : ""}`)),
    })),
    layout: {
      barmode: "stack", bargap: 0.25,
      xaxis: { ticksuffix: " %", range: [0, Math.max(100, ...names.map((_, row) => 100 * Object.values(parts).reduce((sum, shares) => sum + Math.max(0, shares[row] || 0), 0)))] },
      yaxis: nameAxis(names, narrow),
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, traceorder: "normal", font: { size: 11 } },
      uniformtext: { minsize: 9, mode: "hide" },
    },
  });
}

// Growths with their intervals, limits as marks, and a line at no growth.
function growthChart(parent, title, growths, options) {
  const names = growths.map((growth) => growth.name);
  return chart(parent, title, (colour, narrow) => {
    const marker = growths.map((growth) => {
      if (growth.low !== null && growth.low > 0) return colour.up;
      if (growth.high !== null && growth.high < 0) return colour.down;
      return colour.total;
    });
    const traces = [{
      type: "scatter", mode: "markers", name: "growth with its interval", showlegend: false,
      x: growths.map((growth) => growth.growth), y: growths.map((_, i) => i),
      marker: { size: 9, color: marker, symbol: growths.map((g) => (g.low > 0 ? "triangle-right" : g.high !== null && g.high < 0 ? "triangle-left" : "circle")) },
      error_x: { type: "data", symmetric: false, color: colour.soft, thickness: 2,
        array: growths.map((g) => (g.high === null ? 0 : g.high - g.growth)),
        arrayminus: growths.map((g) => (g.low === null ? 0 : g.growth - g.low)) },
      hoverinfo: "text", hovertext: growths.map((g) => plotText(`${g.name}: ${g.text}`)),
    }];
    const limited = growths.map((g, i) => [g, i]).filter(([g]) => g.limit !== null);
    if (limited.length) {
      traces.push({
        type: "scatter", mode: "markers", name: "growth that is allowed",
        x: limited.map(([g]) => g.limit), y: limited.map(([, i]) => i),
        marker: { symbol: "line-ns-open", size: 16, color: colour.text, line: { width: 2, color: colour.text } },
        hoverinfo: "text", hovertext: limited.map(([g]) => plotText(`${g.name}: at most +${g.limit} %`)),
      });
    }
    return { traces, layout: {
      xaxis: { ticksuffix: " %", zeroline: true, zerolinewidth: 2, rangemode: "tozero" },
      yaxis: nameAxis(names, narrow),
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 11 } },
      showlegend: limited.length > 0,
    } };
  }, {
    height: rowsHeight(names.length),
    note: "Right of 0 is slower. A triangle: the interval excludes 0.",
    table: table(["call", "growth"], growths.map((g) => [g.name, g.text]), { figures: [1] }),
    ...options,
  });
}
