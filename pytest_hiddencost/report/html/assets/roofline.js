// Rooflines: MAC rate against arithmetic intensity, below the roofs of the device.

const BOUND_MARKS = { compute: "circle", memory: "square", overhead: "triangle-up", kernel: "diamond" };
const ROOF_DASHES = ["dash", "dot", "solid"];

function rooflineChart(parent, title, data) {
  const digits = (value) => String(Number(value.toPrecision(3)));
  const share = (point) => (point.share === null ? "" : `, ${percent(point.share)} of the call`);
  chart(parent, title, (colour) => ({
    traces: [
      ...data.roofs.map((roof, i) => ({
        type: "scatter", mode: "lines", name: plotText(roof.name), x: roof.x, y: roof.y,
        line: { dash: ROOF_DASHES[i], width: 2, color: colour.soft }, hoverinfo: "name",
      })),
      ...Object.entries(BOUND_MARKS).map(([bound, symbol], i) => {
        const points = data.points.filter((point) => point.bound === bound);
        return {
          type: "scatter", mode: "markers", name: bound, visible: points.length ? true : "legendonly",
          x: points.map((point) => point.x), y: points.map((point) => point.y),
          marker: { symbol, color: SERIES[i], line: { width: 1, color: colour.text },
            size: points.map((point) => 8 + 22 * Math.sqrt(point.share || 0)) },
          hoverinfo: "text",
          hovertext: points.map((point) => plotText(`${point.name}: ${digits(point.y)} ${data.unit} at ${digits(point.x)} MAC/B${share(point)}`)),
        };
      }),
    ],
    layout: { xaxis: { type: "log", title: "MAC/B: MACs for each byte of inputs, weights and outputs" }, yaxis: { type: "log", title: data.unit, dtick: "D2" },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 11 } } },
  }), { height: 460, note: "Each operator ran in a loop of its own. Both axes are logarithmic. Operators without MACs are in the table." });
  if (data.bounds) parent.append(lines(data.bounds));
  parent.append(make("details", {}, make("summary", {}, "Operators and their bounds"),
    table(data.headers, data.rows, { figures: [2, 3, 4, 5], label: "operators" })));
}
