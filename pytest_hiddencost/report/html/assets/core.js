// Elements, packed data, the theme, and plotly.js on first use.

const byId = (id) => document.getElementById(id);

// Makes an element. Text is always text: nothing here reads markup.
function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

async function unpacked(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}

const canUnpack = typeof DecompressionStream === "function";

function complain(error) {
  const notice = byId("broken");
  notice.textContent = "The report could not show a part of itself: " + error.message;
  notice.hidden = false;
  console.error(error);
}

// --- plotly.js: unpacked when the first chart is drawn ---

let plotlyPromise = null;

function plotly() {
  if (plotlyPromise === null) {
    plotlyPromise = unpacked(byId("plotly-data").textContent).then((text) => {
      const script = document.createElement("script");
      script.textContent = text; // the policy of the page allows this very text
      document.head.append(script);
      if (!window.Plotly) throw new Error("plotly.js did not start");
      return window.Plotly;
    });
  }
  return plotlyPromise;
}

// --- theme ---

const THEMES = { system: "system", light: "light", dark: "dark" };

function storedTheme() {
  try {
    return localStorage.getItem("hiddencost-theme") || "system";
  } catch (error) {
    return "system"; // a browser may refuse storage to a local file
  }
}

function setTheme(theme) {
  const known = THEMES[theme] ? theme : "system";
  if (known === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = known;
  byId("theme").textContent = "Theme: " + THEMES[known];
  try {
    localStorage.setItem("hiddencost-theme", known);
  } catch (error) {
    // the choice lasts as long as the page
  }
  return known;
}

function startTheme() {
  let theme = setTheme(storedTheme());
  const button = byId("theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    const names = Object.keys(THEMES);
    theme = setTheme(names[(names.indexOf(theme) + 1) % names.length]);
    redrawCharts();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawCharts);
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  const names = [
    "page", "card", "text", "soft", "line", "mac", "hidden", "mixed", "outside", "unexplained",
    "up", "down", "total",
  ];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue("--" + name).trim()]));
}

// Okabe and Ito's colours, in an order in which neighbours differ in lightness too.
const SERIES = [
  "#0072b2", "#e69f00", "#56b4e9", "#d55e00", "#009e73", "#f0e442", "#cc79a7", "#7f7f7f", "#b9b9b9",
];
const SERIES_TEXT = ["#ffffff", ...Array(8).fill("#000000")];
const PATTERNS = ["", "/", ".", "\\", "x", "-", "|", "+", ""];

const isNarrow = () => window.innerWidth < 700;

// Text for plotly, which reads some markup.
function plotText(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function cut(text, most) {
  if (text.length <= most) return text;
  const half = Math.floor((most - 1) / 2);
  return text.slice(0, most - 1 - half) + "…" + text.slice(text.length - half);
}

const percent = (share) => {
  const value = 100 * share;
  return (Math.abs(value) >= 9.95 ? value.toFixed(0) : value.toPrecision(2)) + " %";
};

// --- tables ---

// Rows of cells: text, or an element. "figures" are the columns of numbers.
function table(headers, rows, options) {
  const settings = options || {};
  const figures = new Set(settings.figures || []);
  const full = new Set(settings.full || []);
  const cellClass = (i) => (figures.has(i) ? "figure" : full.has(i) ? "full" : "");
  const head = headers.map((header, i) => make("th", { scope: "col", class: cellClass(i) }, header));
  const body = rows.map((row) =>
    make("tr", {}, row.map((cell, i) =>
      i === 0
        ? make("th", { scope: "row", class: "name" }, cell)
        : make("td", { class: cellClass(i), "data-label": headers[i] }, cell))));
  return make("div", { class: "wide", tabindex: "0", role: "region", "aria-label": settings.label || "table" },
    make("table", { class: "stacked " + (settings.class || "") },
      make("thead", {}, make("tr", {}, head)), make("tbody", {}, body)));
}

function facts(pairs) {
  return make("dl", { class: "facts" },
    pairs.map(([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, value))));
}

const lines = (texts) => make("ul", { class: "lines" }, texts.map((text) => make("li", {}, text)));
