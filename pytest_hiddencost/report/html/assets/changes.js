// A call against its base or baseline.

function showChange(parent, change) {
  parent.append(make("h2", {}, "Change " + change.title));
  parent.append(lines(change.facts));
  if (change.differences.length) {
    parent.append(make("h3", {}, "Differences of structure"), lines(change.differences));
  }
  if (change.intervals.length) {
    growthChart(parent, "Growth with its interval", change.intervals, { height: rowsHeight(change.intervals.length, 34), table: null });
  }
  const pair = make("div", { class: "pair" });
  for (const steps of change.waterfalls) waterfallChart(pair, steps);
  parent.append(pair);
  if (change.operators.length) {
    const rows = change.operators;
    const shown = rows.slice(0, 12);
    const as_table = (some) => table(["operator", "calls", "base", "head", "change"], some, { figures: [1, 2, 3, 4], label: "operators" });
    parent.append(as_table(shown));
    if (rows.length > shown.length) {
      parent.append(make("details", {}, make("summary", {}, `${rows.length - shown.length} more operators`), as_table(rows.slice(shown.length))));
    }
  }
}

function waterfallChart(parent, data) {
  const names = ["base", ...data.names, "head"];
  const texts = [data.base_text, ...data.texts, data.head_text];
  let total = data.base;
  const reached = [data.base, ...data.steps.map((step) => (total += step)), data.head];
  const least = Math.min(...reached);
  const most = Math.max(...reached);
  const room = Math.max(most - least, 0.004 * most);
  const start = least - 0.35 * room > 0 ? least - 0.35 * room : 0;
  chart(parent, `From base to head, ${data.title}`, (colour, narrow) => ({
    traces: [{
      type: "waterfall", orientation: "h", y: names.map((_, i) => i),
      x: [data.base, ...data.steps, 0], measure: ["absolute", ...data.steps.map(() => "relative"), "total"],
      text: texts, textposition: "outside", cliponaxis: false, constraintext: "none",
      increasing: { marker: { color: colour.up } }, decreasing: { marker: { color: colour.down } }, totals: { marker: { color: colour.total } },
      connector: { line: { color: colour.soft, width: 1, dash: "dot" } },
      hoverinfo: "text", hovertext: names.map((name, i) => plotText(`${name}: ${texts[i]}`)),
    }],
    layout: { xaxis: { title: data.unit, range: [start, most + (narrow ? 0.55 : 0.35) * room], zeroline: false }, yaxis: nameAxis(names, narrow), bargap: 0.3, showlegend: false },
  }), {
    height: rowsHeight(names.length),
    note: start > 0 ? "The axis does not begin at 0." : "",
    table: table(["part", "change"], names.map((name, i) => [name, texts[i]]), { figures: [1] }),
  });
}
