// The table of all calls: sorting and filters.

function startTable() {
  const found = byId("calls");
  if (!found) return;
  const body = found.tBodies[0];
  const rows = Array.from(body.rows);
  const column = byId("sort-column");
  const direction = byId("sort-direction");
  const headers = Array.from(found.tHead.rows[0].cells);
  let ascending = true;

  function order(row) {
    const text = row.cells[Number(column.value)].dataset.order;
    if (text === "") return null;
    const number = Number(text);
    return Number.isNaN(number) ? text.toLowerCase() : number;
  }

  function compare(a, b) {
    if (a === null || b === null) return (a === null) - (b === null); // unknown values go last
    if (typeof a === "number" && typeof b === "number") return ascending ? a - b : b - a;
    const text = String(a).localeCompare(String(b), undefined, { numeric: true });
    return ascending ? text : -text;
  }

  function sort() {
    const chosen = Number(column.value);
    const keyed = rows.map((row) => [chosen < 0 ? Number(row.dataset.number) : order(row), row]);
    keyed.sort((a, b) => compare(a[0], b[0]) || a[1].dataset.number - b[1].dataset.number);
    body.append(...keyed.map(([, row]) => row));
    direction.textContent = ascending ? "smallest first" : "largest first";
    headers.forEach((header, i) => {
      const state = i === chosen ? (ascending ? "ascending" : "descending") : "none";
      header.setAttribute("aria-sort", state);
    });
  }

  function filter() {
    const words = byId("filter-text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdict = byId("filter-verdict").value;
    let count = 0;
    for (const row of rows) {
      const text = row.dataset.search;
      const shown = (!verdict || row.dataset.verdict === verdict) && words.every((word) => text.includes(word));
      row.hidden = !shown;
      count += shown;
    }
    byId("filter-count").textContent = count === rows.length ? "" : `${count} of ${rows.length} calls`;
  }

  headers.forEach((header, i) => {
    const button = make("button", { type: "button" }, header.textContent);
    button.addEventListener("click", () => {
      ascending = Number(column.value) === i ? !ascending : i < 2 || header.textContent === "";
      column.value = String(i);
      sort();
    });
    header.replaceChildren(button);
    header.setAttribute("aria-sort", "none");
  });
  column.addEventListener("change", sort);
  direction.addEventListener("click", () => {
    ascending = !ascending;
    sort();
  });
  byId("filter-text").addEventListener("input", filter);
  byId("filter-verdict").addEventListener("change", filter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").hidden = false;
  column.value = "-1";
  sort();
  filter(); // a browser may bring a filter back with the page
}
