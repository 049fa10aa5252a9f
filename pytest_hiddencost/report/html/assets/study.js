// The figures of the device study.

const PART_UNITS = { "accuracy": "%", "parameters": "M", "MACs": "MMAC", "time": "ms" };

function showStudy(data) {
  const parent = byId("study-charts");
  for (const backend of data.backends) {
    parent.append(make("h2", {}, "Convolution backend: " + backend.backend));
    const first = make("div", { class: "pair" });
    parent.append(first);
    for (const [name, values] of Object.entries(backend.models_table)) quantityChart(first, backend.models, name, values);
    scatterChart(parent, backend);
    sharesChart(parent, "Where the latency goes", backend.models, backend.parts);
    sharesChart(parent, "Inside Conv2D", backend.models, backend.inside_conv2d);
    ratesChart(parent, backend);
  }
  if (data.correlations.length) correlationChart(parent, data);
  for (const pair of data.against) devicesChart(parent, pair, data.names);
}

function quantityChart(parent, models, name, values) {
  const unit = PART_UNITS[name] || "";
  const shown = (value) => (value === null ? "-" : `${Number(value.toPrecision(3))} ${unit}`);
  chart(parent, name[0].toUpperCase() + name.slice(1), (colour, narrow) => ({
    traces: [{ type: "bar", orientation: "h", y: models.map((_, i) => i), x: values, marker: { color: colour.mac },
      text: values.map(shown), textposition: "outside", cliponaxis: false,
      hoverinfo: "text", hovertext: models.map((model, i) => plotText(`${model}: ${shown(values[i])}`)) }],
    layout: { bargap: 0.3, xaxis: { title: unit, range: [0, 1.28 * Math.max(1e-9, ...values.map((v) => v || 0))] }, yaxis: nameAxis(models, narrow) },
  }), { height: rowsHeight(models.length, 22), table: table(["model", name], models.map((model, i) => [model, shown(values[i])]), { figures: [1] }) });
}

function scatterChart(parent, backend) {
  const macs = backend.models_table.MACs;
  const time = backend.models_table.time;
  chart(parent, "MACs against time", (colour, narrow) => ({
    traces: [{ type: "scatter", mode: narrow ? "markers" : "markers+text", x: macs, y: time,
      text: backend.models.map(plotText), textposition: backend.models.map((_, i) => labelPlace(macs, time, i)), textfont: { size: 11 },
      marker: { size: 10, color: colour.mac }, cliponaxis: false, hoverinfo: "text",
      hovertext: backend.models.map((model, i) => plotText(`${model}: ${Number(macs[i].toPrecision(3))} MMAC, ${Number(time[i].toPrecision(3))} ms`)) }],
    layout: { xaxis: { type: "log", title: "MMAC", dtick: "D2" }, yaxis: { type: "log", title: "ms", dtick: "D2" }, margin: { l: 8, r: 80, t: 16, b: 8 } },
  }), { height: 380, note: "Both axes are logarithmic." + (isNarrow() ? " Touch a point for its model." : "") });
}

// Where a label does not cover that of a model nearby: points above others get theirs on top.
function labelPlace(xs, ys, i) {
  const near = xs.map((_, j) => j).filter((j) => j !== i && Math.abs(Math.log10(xs[j] / xs[i])) < 0.35 && Math.abs(Math.log10(ys[j] / ys[i])) < 0.16);
  if (!near.length) return "middle right";
  const above = near.filter((j) => ys[j] > ys[i] || (ys[j] === ys[i] && j > i)).length;
  const below = near.length - above;
  if (above && below) return near.every((j) => xs[j] > xs[i]) ? "middle left" : "middle right";
  return above ? "bottom center" : "top center";
}

function sharesChart(parent, title, models, parts) {
  const used = Object.fromEntries(Object.entries(parts).filter(([, shares]) => shares.some((share) => share > 0.0005)));
  if (!Object.keys(used).length) return;
  chart(parent, title, stackedShares(models, used), {
    height: rowsHeight(models.length, 28) + (isNarrow() ? 80 : 20),
    table: table(["model", ...Object.keys(used)], models.map((model, i) => [model, ...Object.values(used).map((shares) => percent(shares[i] || 0))]),
      { figures: Object.keys(used).map((_, i) => i + 1) }),
  });
}

function ratesChart(parent, backend) {
  const kinds = Object.entries(backend.rates).filter(([, rates]) => rates.some((rate) => rate !== null));
  if (!kinds.length) return;
  const shown = (rate) => (rate === null ? "-" : `${Number(rate.toPrecision(3))}`);
  chart(parent, "Throughput by MAC kind", (colour, narrow) => ({
    traces: kinds.map(([kind, rates], k) => ({
      type: "scatter", mode: "markers", name: plotText(kind), x: rates, y: backend.models.map((_, i) => i),
      marker: { size: 12, color: SERIES[k], symbol: ["circle", "square", "diamond", "triangle-up", "cross"][k % 5], line: { width: 1, color: colour.text } },
      hoverinfo: "text", hovertext: backend.models.map((model, i) => plotText(`${model}, ${kind}: ${shown(rates[i])} GMAC/s`)) })),
    layout: { xaxis: { type: "log", title: "GMAC/s of kernel time" }, yaxis: { ...nameAxis(backend.models, narrow), showgrid: true },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 11 } } },
  }), { height: rowsHeight(backend.models.length, 26) + 30, note: "The axis is logarithmic.",
    table: table(["model", ...kinds.map(([kind]) => kind)], backend.models.map((model, i) => [model, ...kinds.map(([, rates]) => shown(rates[i]))]), { figures: kinds.map((_, i) => i + 1) }) });
}

function correlationChart(parent, data) {
  parent.append(make("h2", {}, "Correlations over the models"));
  const names = data.quantities;
  const texts = data.correlations.map((row) => row.map((value) => (value === null ? "-" : value.toFixed(2))));
  chart(parent, "Pearson correlation", (colour, narrow) => {
    const axis = { tickvals: names.map((_, i) => i), ticktext: names.map((name) => plotText(cut(name, narrow ? 11 : 30))), showgrid: false, zeroline: false };
    return { traces: [{
      type: "heatmap", z: data.correlations, zmin: -1, zmax: 1, text: texts, texttemplate: "%{text}", hoverinfo: "text", xgap: 2, ygap: 2,
      hovertext: texts.map((row, i) => row.map((text, j) => plotText(`${names[i]} and ${names[j]}: ${text}`))),
      colorscale: [[0, "#d55e00"], [0.5, "#f2f2f2"], [1, "#0072b2"]], showscale: !narrow,
    }], layout: { xaxis: { ...axis, side: "top", tickangle: narrow ? -45 : 0 }, yaxis: { ...axis, autorange: "reversed" } } };
  }, { height: 80 + 56 * names.length, note: "Accuracies are the published ones.",
    table: table(["", ...names], names.map((name, i) => [name, ...texts[i]]), { figures: names.map((_, i) => i + 1) }) });
}

function devicesChart(parent, pair, names) {
  parent.append(make("h2", {}, "Device against device: " + pair.backend),
    make("p", { class: "note" }, `A: ${names[0]}. B: ${names[1]}.`));
  const both = make("div", { class: "pair" });
  parent.append(both);
  devicePair(both, "Time", "ms", pair.models, pair.head_ms, pair.base_ms, true);
  devicePair(both, "Non-MAC time", "%", pair.models, pair.head_non_mac.map((x) => 100 * x), pair.base_non_mac.map((x) => 100 * x), false);
  const digits = (value) => String(Number(value.toPrecision(3)));
  parent.append(table(["model", "A ms", "B ms", "A/B", "A non-MAC", "B non-MAC", "A in Conv2D", "B in Conv2D"],
    pair.models.map((model, i) => [model, digits(pair.head_ms[i]), digits(pair.base_ms[i]), digits(pair.head_ms[i] / pair.base_ms[i]),
      percent(pair.head_non_mac[i]), percent(pair.base_non_mac[i]), percent(pair.head_in_conv2d[i]), percent(pair.base_in_conv2d[i])]),
    { figures: [1, 2, 3, 4, 5, 6, 7], label: "devices" }));
  parent.append(make("p", { class: "note" }, "In Conv2D: the share of Conv2D that is not the convolution kernel." +
    (pair.correlations ? ` Correlation of MACs and time: A ${pair.correlations[0].toFixed(2)}, B ${pair.correlations[1].toFixed(2)}.` : "")));
}

function devicePair(parent, title, unit, models, a, b, log) {
  chart(parent, title, (colour, narrow) => ({
    traces: [["A", a, colour.mac, "circle"], ["B", b, colour.up, "diamond"]].map(([name, values, fill, symbol]) => ({
      type: "scatter", mode: "markers", name, x: values, y: models.map((_, i) => i), marker: { size: 11, color: fill, symbol },
      hoverinfo: "text", hovertext: models.map((model, i) => plotText(`${name}, ${model}: ${Number(values[i].toPrecision(3))} ${unit}`)) })),
    layout: { xaxis: { title: unit, ...(log ? { type: "log" } : { rangemode: "tozero" }) }, yaxis: { ...nameAxis(models, narrow), showgrid: true },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 11 } } },
  }), { height: rowsHeight(models.length, 24) + 20, note: log ? "The axis is logarithmic." : "" });
}
