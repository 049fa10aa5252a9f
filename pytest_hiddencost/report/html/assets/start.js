// Which part is shown: the address after # says so, so that back and forward work.

let overviewPromise = null;
let calls = null;
let leftFrom = null;
let shownParts = new Set();

function overviewData() {
  if (overviewPromise === null) {
    overviewPromise = unpacked(byId("overview-data").textContent).then(JSON.parse);
  }
  return overviewPromise;
}

async function showOverviewCharts() {
  const data = await overviewData();
  const parent = byId("overview-charts");
  if (data.growths.length) {
    parent.append(make("h2", {}, "What changed"));
    growthChart(parent, "Growth of p50", data.growths);
  }
  if (data.shares.names.length) {
    const left = data.shares.left_out;
    parent.append(make("h2", {}, "Where the time goes"));
    chart(parent, "Shares of the latency", stackedShares(data.shares.names, data.shares.parts), {
      height: rowsHeight(data.shares.names.length, 28),
      note: left ? `The first ${data.shares.names.length} calls; ${left} more are in the table.` : "",
      table: table(["call", ...Object.keys(data.shares.parts)],
        data.shares.names.map((name, i) => [name, ...Object.values(data.shares.parts).map((shares) => percent(shares[i]))]), { figures: [1, 2, 3] }),
    });
  }
}

async function show(part, number) {
  for (const name of ["overview", "study", "kinds", "call"]) byId(name).hidden = name !== part;
  for (const link of document.querySelectorAll(".top nav a")) {
    if (link.dataset.part === part) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!canUnpack) return;
  if (part === "call") {
    const packedCall = calls.calls[number];
    if (!packedCall) throw new Error("this report has too many calls to hold the details of this one");
    const data = JSON.parse(await unpacked(packedCall));
    showCall(data, number, calls.calls.length, calls.thinned);
  } else if (!shownParts.has(part)) {
    shownParts.add(part);
    if (part === "overview") await showOverviewCharts();
    else if (part === "study") showStudy((await overviewData()).study);
    else rooflineChart(byId("kinds"), "Roofline of the device", (await overviewData()).kinds);
  }
}

async function route(event) {
  const found = /^#call-(\d{1,7})$/.exec(location.hash);
  const number = found ? Number(found[1]) : -1;
  const named = location.hash.slice(1);
  const isPart = ["study", "kinds"].includes(named) && document.querySelector(`.top nav a[data-part="${named}"]`) !== null;
  const isCall = canUnpack && found !== null && number < calls.calls.length;
  const part = isCall ? "call" : isPart ? named : "overview";
  byId("broken").hidden = true;
  try {
    await show(part, number);
    document.title = part === "call" ? byId("call-title").textContent + " - hidden costs" : "Hidden costs";
  } catch (error) {
    complain(error);
  }
  if (!event) return; // the page has just been opened: leave the focus where it is
  if (part === "overview" && leftFrom !== null) {
    const link = document.querySelector(`a[href="#call-${leftFrom}"]`);
    if (link) link.focus();
    leftFrom = null;
  } else {
    window.scrollTo(0, 0);
    const title = byId(part === "call" ? "call-title" : part + "-title");
    if (title) title.focus({ preventScroll: true });
  }
  if (part === "call") leftFrom = number;
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names the part that is shown
  byId("main").focus();
});
startTheme();
startTable();
if (canUnpack) calls = JSON.parse(byId("call-data").textContent);
else byId("old").hidden = false;
window.addEventListener("hashchange", route);
window.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !byId("call").hidden) location.hash = "#overview";
});
route(null).then(() => { document.documentElement.dataset.ready = "yes"; });
