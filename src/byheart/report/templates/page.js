"use strict";

// Charts: the static drawing stands in the page; once a chart has drawn, it takes its place.
const PANEL_MINIMUM = 190; // below this width in pixels a panel's axis labels collide
const GAP = 22;
const AXIS_ROOM = 66;
const COMPACT = 480;
const LETTER = 7;
const SYMBOL = 34;
const SINGLE_MAXIMUM = 780; // one panel any wider is all line and no shape

function unpack({ fields, rows }) {
  return rows.map((row) => Object.fromEntries(fields.map((field, i) => [field, row[i]])));
}

// Full rows first: three panels stand as 3 or 1, four as 4, 2 or 1.
function columnsFor(panels, room, most) {
  const fitting = Math.max(1, Math.floor((room - AXIS_ROOM + GAP) / (PANEL_MINIMUM + GAP)));
  for (let columns = Math.min(panels, most, fitting); columns > 1; columns--) {
    if (panels % columns === 0) return columns;
  }
  return panels > 4 ? Math.min(fitting, most) : 1;
}

function fitted(declaration, panels, names, room) {
  const spec = structuredClone(declaration);
  const view = spec.spec ?? spec;
  const columns = spec.facet ? columnsFor(panels, room, spec.columns) : 1;
  if (spec.facet) spec.columns = columns;
  if (!spec.facet) room = Math.min(room, SINGLE_MAXIMUM);
  view.width = Math.floor((room - AXIS_ROOM - (columns - 1) * GAP) / columns);
  if (columns === 1 && room < COMPACT) view.height = 210;
  if (room < COMPACT) {
    // The title of the legend stands above the names, which stand in as many columns as fit.
    const longest = Math.max(...names.map((name) => name.length));
    const columns = Math.max(1, Math.floor((room - AXIS_ROOM) / (LETTER * longest + SYMBOL)));
    Object.assign(spec.config.legend, { titleOrient: "top", columns });
  }
  return spec;
}

async function draw(figure) {
  const { declaration, data, label } = JSON.parse(figure.querySelector("script").textContent);
  const rows = unpack(data);
  const panels = new Set(rows.map((row) => row.panel)).size;
  const names = [...new Set(rows.map((row) => row.series))];
  const live = figure.querySelector(".live");
  const room = Math.floor(figure.querySelector(".chart").clientWidth);
  if (String(room) === figure.dataset.room) return;
  figure.dataset.room = room;
  const spec = fitted(declaration, panels, names, room);
  spec.datasets = { ...spec.datasets, points: rows };
  const { view } = await vegaEmbed(live, spec, {
    actions: false,
    renderer: "svg",
    ast: true, // the page's content policy forbids to make code from text
    defaultStyle: false,
    tooltip: { disableDefaultStyle: true, theme: "page" },
  });
  // One label for the whole drawing; its thousand shapes say nothing to a screen reader.
  live.querySelector("svg").setAttribute("aria-hidden", "true");
  live.setAttribute("role", "img");
  live.setAttribute("aria-label", label);
  figure.classList.add("drawn");
  figure.dataset.columns = spec.columns ?? 1;
  figure.dispatchEvent(new CustomEvent("drawn", { detail: view }));
}

// The chart library lies in the page compressed: a third of its size. Its hash is in the content policy.
async function loadLibrary() {
  const library = document.getElementById("library");
  if (!library || globalThis.vegaEmbed) return;
  const bytes = Uint8Array.from(atob(library.textContent), (letter) => letter.charCodeAt(0));
  const text = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(text).text();
  document.head.append(script);
}

async function drawAll() {
  await loadLibrary().catch(console.error);
  for (const figure of document.querySelectorAll("figure:has(.live)")) {
    await draw(figure).catch(console.error); // the static drawing stays
  }
  document.documentElement.dataset.charts = "drawn";
}

let waiting;
addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(drawAll, 150);
});

// The static drawing is the file; without JavaScript the folder's figures/ has it.
for (const link of document.querySelectorAll("figure .downloads a[hidden]")) {
  const drawing = link.closest("figure").querySelector(".still").innerHTML;
  const file = new Blob([drawing], { type: "image/svg+xml" });
  link.addEventListener("click", () => { link.href = URL.createObjectURL(file); });
  link.href = "#";
  link.hidden = false;
}

// Scrolling moves the chart from under the pointer without telling it.
addEventListener("scroll", () => {
  document.getElementById("vg-tooltip-element")?.classList.remove("visible");
}, { passive: true });

// On paper nothing can be unfolded.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const one of folded) one.open = true;
});
addEventListener("afterprint", () => {
  for (const one of folded) one.open = false;
});
