// One call: icicle, hidden costs, groups, samples, MAC rates, memory.

function showCall(data, number, count, thinned) {
  const section = byId("call");
  dropCharts(section);
  section.replaceChildren(
    make("p", { class: "steps" },
      make("a", { href: "#overview" }, "← All calls"),
      number > 0 ? make("a", { href: `#call-${number - 1}`, rel: "prev" }, "Previous call") : null,
      number < count - 1 ? make("a", { href: `#call-${number + 1}`, rel: "next" }, "Next call") : null),
    make("h1", { id: "call-title", tabindex: "-1" }, make("bdi", {}, data.name)),
    make("p", {}, badge(data.outcome)),
    facts(data.facts));
  if (data.remarks.length) section.append(lines(data.remarks));
  if (data.verdicts.length) section.append(make("h2", {}, "Checks"), verdictTable(data));
  for (const change of data.changes) showChange(section, change);
  section.append(make("h2", {}, "Where the time goes"));
  icicleChart(section, data.icicle);
  section.append(make("h2", {}, "Hidden costs"),
    make("p", { class: "note" }, "Time outside the kernels that multiply and accumulate, largest first. A tilde: too short to be told from the profiler's events one by one."),
    hiddenTable(data.hidden));
  const pair = make("div", { class: "pair" });
  section.append(make("h2", {}, "Time against MACs"), pair);
  groupsChart(pair, data.groups);
  kindsChart(pair, data.kinds);
  if (data.roofline) {
    section.append(make("h2", {}, "Operators below the roofs of the device"));
    rooflineChart(section, "Roofline of the call", data.roofline);
  }
  section.append(make("h2", {}, "Timed calls"));
  if (thinned) section.append(make("p", { class: "note" }, "This report has many calls, so it shows fewer samples and smaller parts of each. The run file has all of them."));
  const times = make("div", { class: "pair" });
  section.append(times);
  samplesChart(times, data.samples);
  histogramChart(times, data.samples);
  section.append(make("h2", {}, "Memory"));
  if (data.memory) memoryChart(section, data.memory);
  else section.append(make("p", {}, "The run recorded no memory over the call: this device, or the version that wrote the file, does not."));
}

const badge = (outcome) => make("span", { class: "badge " + outcome }, outcome === "none" ? "no verdict" : outcome);

function verdictTable(data) {
  const rows = data.verdicts.map((v) => [v.check, badge(v.verdict), v.measured, v.interval, v.allowed, v.why]);
  const whys = data.verdicts.some((v) => v.why);
  const headers = ["check", "verdict", "measured", data.interval, "allowed", "reason and remedy"];
  return table(whys ? headers : headers.slice(0, 5), whys ? rows : rows.map((row) => row.slice(0, 5)),
    { figures: [2, 3, 4], full: [5], label: "checks" });
}

// --- icicle ---

// Mixes colours: blue for MAC kernels, orange for everything else, grey between.
function mixed(colour, share) {
  const [from, to, part] = share < 0.5 ? [colour.hidden, colour.mixed, 2 * share] : [colour.mixed, colour.mac, 2 * share - 1];
  const channel = (text, i) => parseInt(text.slice(1 + 2 * i, 3 + 2 * i), 16);
  const parts = [0, 1, 2].map((i) => Math.round(channel(from, i) + (channel(to, i) - channel(from, i)) * part));
  return `rgb(${parts.join(",")})`;
}

function nodeColour(colour, data, i) {
  if (data.kinds[i] === "outside") return colour.outside;
  if (data.kinds[i] === "unexplained") return colour.unexplained;
  return mixed(colour, data.mac[i]);
}

// Black or white, whichever can be read on a colour.
function readableOn(colour) {
  const parts = colour.startsWith("#") ? [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16)) : colour.match(/\d+/g).map(Number);
  const [red, green, blue] = parts.map((value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  const luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return luminance > 0.179 ? "#000000" : "#ffffff";
}

function nodePattern(data, i) {
  if (data.kinds[i] === "outside") return ".";
  if (data.kinds[i] === "unexplained") return "";
  const leaf = ["operator", "line", "smaller"].includes(data.kinds[i]);
  return leaf && data.mac[i] < 0.5 ? "/" : "";
}

function nodeMac(data, i) {
  if (data.kinds[i] === "outside") return "outside operators";
  if (data.kinds[i] === "unexplained") return "explained by no operator";
  if (data.mac[i] > 0.995) return "MAC kernel";
  return data.mac[i] < 0.005 ? "no MAC kernel" : `${percent(data.mac[i])} in MAC kernels`;
}

function icicleChart(parent, data) {
  const swatch = (name, text) => make("li", {}, make("span", { class: "swatch " + name }), text);
  const key = make("ul", { class: "key" },
    swatch("mac", "MAC kernels"), swatch("hidden-cost", "other operators: hidden cost"),
    swatch("mixed", "both"), swatch("outside", "outside operators"), swatch("unexplained", "unexplained"));
  const narrow = isNarrow();
  const levels = Math.min(levelsOf(data), narrow ? 5 : 8);
  const plot = chart(parent, "Module, composite, operator, line", (colour) => ({
    traces: [{
      type: "icicle",
      ids: data.labels.map((_, i) => String(i)),
      labels: data.labels.map((name) => plotText(name.replace(/^aten::/, ""))),
      parents: data.parents.map((position) => (position < 0 ? "" : String(position))),
      values: data.values,
      branchvalues: "total",
      sort: false,
      maxdepth: levels,
      level: plot.level || "0",
      tiling: { orientation: "v", pad: 1 },
      leaf: { opacity: 1 },
      pathbar: { visible: true, thickness: 24, textfont: { size: 12 } },
      marker: {
        colors: data.labels.map((_, i) => nodeColour(colour, data, i)),
        line: { width: 0.5, color: colour.page },
        pattern: { shape: data.labels.map((_, i) => nodePattern(data, i)), fgcolor: "#ffffff", fgopacity: 0.4, size: 7, solidity: 0.2, fillmode: "overlay" },
      },
      text: data.texts.map((text) => plotText(text.split(", ").slice(0, 2).join(", "))),
      insidetextfont: { color: data.labels.map((_, i) => readableOn(nodeColour(colour, data, i))) },
      textinfo: "label+text",
      hoverinfo: "text",
      hovertext: data.labels.map((name, i) =>
        [cut(name, 60), `${data.kinds[i]}: ${nodeMac(data, i)}`, data.texts[i], cut(data.where[i], 70)]
          .filter(Boolean).map(plotText).join("<br>")),
    }],
    layout: { margin: { l: 0, r: 0, t: 4, b: 0 }, uniformtext: { minsize: 10, mode: "hide" } },
  }), {
    key,
    height: 90 + 52 * levels,
    label: "Icicle chart of the latency by module, composite, operator and line; the list below has the same content",
    note: [data.note, "Width is time. Select a part to enlarge it; select the path on top to go back."].filter(Boolean).join(" "),
    afterwards: (drawn) => drawn.on("plotly_icicleclick", (event) => { plot.level = event.nextLevel || "0"; }),
  });
  parent.append(make("details", { class: "tree" }, make("summary", {}, "The same as a list"), treeList(data, plot)));
}

function levelsOf(data) {
  const depths = [];
  data.parents.forEach((position, i) => { depths[i] = position < 0 ? 1 : depths[position] + 1; });
  return Math.max(1, ...depths);
}

function treeList(data, plot) {
  const children = data.labels.map(() => []);
  data.parents.forEach((position, i) => { if (position >= 0) children[position].push(i); });
  function line(i) {
    return [make("bdi", {}, data.labels[i]), " ", make("span", { class: "time" }, data.texts[i]), " ",
      make("span", { class: "kind" }, [data.kinds[i], nodeMac(data, i), data.where[i]].filter(Boolean).join(", "))];
  }
  function item(i) {
    if (!children[i].length) return make("li", {}, make("div", { class: "leaf" }, line(i)));
    const details = make("details", {}, make("summary", {}, line(i)));
    details.addEventListener("toggle", () => { // the list inside is made when it is opened
      if (details.open && details.children.length === 1) details.append(make("ul", {}, children[i].map(item)));
    });
    return make("li", {}, details);
  }
  return make("ul", {}, item(0));
}

// --- hidden costs ---

const LARGE = 0.005; // of the latency: smaller costs are folded away

function hiddenTable(costs) {
  const large = costs.filter((cost, i) => cost.share >= LARGE || i < 5);
  const small = costs.slice(large.length);
  const most = Math.max(1e-9, ...costs.map((cost) => cost.share));
  const folded = small.length
    ? make("details", {}, make("summary", {}, `${small.length} smaller costs`), costTable(small, most))
    : null;
  return make("div", {}, costTable(large, most), folded);
}

function costTable(costs, most) {
  const rows = costs.map((cost) => {
    const bar = make("span", { class: "bar", "aria-hidden": "true" });
    bar.style.width = Math.max(0, (100 * cost.share) / most) + "%";
    const where = cost.lines.length ? make("ul", {}, cost.lines.map((text) => make("li", {}, text))) : "";
    return [cost.name, cost.group, cost.calls === null ? "" : String(cost.calls), cost.time, make("span", {}, cost.share_text, bar), cost.inside, where];
  });
  return table(["operator", "group", "calls", "time", "share", "inside", "called from"], rows,
    { figures: [2, 3, 4], full: [6], class: "costs", label: "hidden costs" });
}

function groupsChart(parent, data) {
  chart(parent, "Groups of operators", (colour, narrow) => ({
    traces: [["of the time", data.time, colour.hidden, "/", data.time_texts], ["of the MACs", data.macs, colour.mac, "", data.mac_texts]]
      .map(([name, shares, fill, shape, texts]) => ({
        type: "bar", orientation: "h", name,
        y: data.names.map((_, i) => i), x: shares.map((share) => 100 * share),
        marker: { color: fill, pattern: { shape, fgcolor: "#ffffff", fgopacity: 0.5, size: 6, fillmode: "overlay" } },
        text: shares.map((share) => (share > 0 ? percent(share) : "")), textposition: "outside", cliponaxis: false,
        hoverinfo: "text", hovertext: data.names.map((group, i) => plotText(`${group}: ${percent(shares[i])} ${name}, ${texts[i]}`)),
      })),
    layout: { barmode: "group", bargap: 0.3,
      xaxis: { ticksuffix: " %", range: [0, 1.18 * Math.max(5, ...data.time.map((x) => 100 * x), ...data.macs.map((x) => 100 * x))] },
      yaxis: nameAxis(data.names, narrow),
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 11 } } },
  }), {
    height: rowsHeight(data.names.length, 36),
    table: table(["group", "time", "of the time", "MACs", "of the MACs"],
      data.names.map((name, i) => [name, data.time_texts[i], percent(data.time[i]), data.mac_texts[i], percent(data.macs[i])]), { figures: [1, 2, 3, 4] }),
  });
}

function kindsChart(parent, data) {
  if (!data.names.length) {
    parent.append(make("figure", { class: "chart" }, make("h3", {}, "MAC rate by kind"), make("p", {}, "The call makes no MACs.")));
    return;
  }
  const known = data.names.map((_, i) => i).filter((i) => data.rates[i] !== null);
  const as_table = table(["MAC kind", "calls", "MACs", "kernel time", "MAC rate"],
    data.names.map((name, i) => [name, String(data.calls[i]), data.mac_texts[i], data.time_texts[i], data.rate_texts[i]]), { figures: [1, 2, 3, 4] });
  chart(parent, "MAC rate by kind", (colour, narrow) => ({
    traces: [{
      type: "bar", orientation: "h", y: known.map((_, row) => row), x: known.map((i) => data.rates[i]),
      marker: { color: colour.mac }, text: known.map((i) => data.rate_texts[i]), textposition: "outside", cliponaxis: false,
      hoverinfo: "text", hovertext: known.map((i) => plotText(`${data.names[i]}: ${data.mac_texts[i]} in ${data.time_texts[i]}, ${data.rate_texts[i]}`)),
    }],
    layout: { bargap: 0.35, xaxis: { title: data.unit + " of kernel time", range: [0, 1.35 * Math.max(1e-9, ...known.map((i) => data.rates[i]))] },
      yaxis: nameAxis(known.map((i) => data.names[i]), narrow) },
  }), { height: rowsHeight(known.length, 36), table: as_table });
}

// --- samples ---

const DASHES = { p50: "solid", p95: "dash", p99: "dot", limit: "longdashdot" };

function lineColour(colour, kind) {
  return { p50: colour.mac, p95: colour.down, p99: colour.hidden, limit: colour.up }[kind];
}

function samplesChart(parent, data) {
  const [low, high] = data.range;
  chart(parent, "Samples in the order they were taken", (colour) => {
    const traces = [{
      type: "scatter", mode: "markers", name: "timed call", x: data.y.map((_, i) => i * data.step + 1), y: data.y,
      marker: { size: data.y.length > 600 ? 3 : 5, color: colour.total, opacity: 0.75 },
      hoverinfo: "text", hovertext: data.y.map((y, i) => `call ${i * data.step + 1}: ${y} ${data.unit}`), showlegend: false,
    }];
    if (data.beyond.length) traces.push({
      type: "scatter", mode: "markers", name: `${data.above} beyond the axis`, x: data.beyond.map(([i]) => i + 1), y: data.beyond.map(() => high),
      marker: { symbol: "triangle-up", size: 9, color: colour.up }, cliponaxis: false,
      hoverinfo: "text", hovertext: data.beyond.map(([i, y]) => `call ${i + 1}: ${y} ${data.unit}`),
    });
    for (const line of data.lines) traces.push({
      type: "scatter", mode: "lines", name: plotText(line.name), x: [1, Math.max(2, data.count)], y: [line.value, line.value],
      line: { dash: DASHES[line.kind], width: 2, color: lineColour(colour, line.kind) }, hoverinfo: "name",
    });
    return { traces, layout: { xaxis: { title: "timed call", zeroline: false }, yaxis: { title: data.unit, range: [low, high], zeroline: false } } };
  }, { height: 340, note: data.step > 1 ? `Every ${data.step}th of ${data.count} samples.` : `${data.count} samples.` });
}

function histogramChart(parent, data) {
  const most = Math.max(1, ...data.counts);
  const above = data.above ? ` ${data.above} slower ${data.above === 1 ? "call is" : "calls are"} not drawn.` : "";
  chart(parent, "Distribution", (colour) => ({
    traces: [{
      type: "bar", name: "timed calls", showlegend: false, x: data.counts.map((_, i) => (data.edges[i] + data.edges[i + 1]) / 2), y: data.counts,
      width: data.counts.map((_, i) => data.edges[i + 1] - data.edges[i]), marker: { color: colour.mixed, line: { width: 0.5, color: colour.page } },
      hoverinfo: "text", hovertext: data.counts.map((count, i) => `${count} calls from ${data.edges[i]} to ${data.edges[i + 1]} ${data.unit}`),
    }, ...data.lines.map((line) => ({
      type: "scatter", mode: "lines", name: plotText(line.name), x: [line.value, line.value], y: [0, 1.05 * most],
      line: { dash: DASHES[line.kind], width: 2, color: lineColour(colour, line.kind) }, hoverinfo: "name",
    }))],
    layout: { bargap: 0, xaxis: { title: data.unit, range: data.range, zeroline: false }, yaxis: { title: "timed calls", range: [0, 1.1 * most] } },
  }), { height: 340, note: "All samples." + above });
}

function memoryChart(parent, data) {
  chart(parent, "Memory over the call", (colour) => ({
    traces: [{
      type: "scatter", mode: "lines", line: { shape: "hv", width: 1.5, color: colour.mac }, fill: "tozeroy", x: data.x, y: data.y,
      hoverinfo: "text", hovertext: data.y.map((y, i) => plotText(`${y} ${data.unit} at ${data.x[i]} %, ${data.roots[i] || "outside operators"}`)),
    }],
    layout: { xaxis: { title: "% of the call", range: [0, 100], zeroline: false }, yaxis: { title: data.unit, rangemode: "tozero" } },
  }), { height: 260, note: "Live bytes that the call allocated. Peak: " + data.peak + "." });
}
