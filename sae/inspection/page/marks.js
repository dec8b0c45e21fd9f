"use strict";

// What both pages are made of. Text from the model, the corpus or a file enters the page as textContent only.

const SVG = "http://www.w3.org/2000/svg";
const at = (id) => document.getElementById(id);
const report = JSON.parse(at("report").textContent);

window.addEventListener("error", (event) => {
  const problem = at("problem");
  problem.textContent = `The page could not be drawn: ${event.message}`;
  problem.hidden = false;
});

function make(tag, attributes = {}, ...children) {
  const isDrawing = ["svg", "g", "rect", "line", "text", "title"].includes(tag);
  const element = isDrawing ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Words and numbers

const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
const word = (token) => token.trim() || "␣";

function number(value) {
  const size = Math.abs(value);
  const text = size === 0 ? "0" : size >= 1e6 || size < 1e-4 ? value.toExponential(2)
    : size >= 100 ? value.toFixed(0) : value.toPrecision(3);
  return text.replaceAll("-", "−");
}

function percent(share) {
  if (share === 0) return "0 %";
  const value = 100 * share;
  return `${Number(value >= 10 ? value.toFixed(0) : value.toPrecision(2))} %`;
}

function fact(name, value, note) {
  const definition = make("dd", {}, value);
  if (note) definition.append(make("span", {}, note));
  at("facts").append(make("div", {}, make("dt", {}, name), definition));
}

function section(title, note, ...children) {
  const heading = make("h2", {}, title);
  if (note) heading.append(make("small", {}, note));
  return make("section", {}, heading, ...children);
}

function fillFooter(...notes) {
  const { source } = report;
  at("footer").append(
    ...notes.map((note) => make("p", {}, note)),
    make("p", {}, `SAE ${source.sae ?? "in memory"}, SHA-256 ${source.sha256.slice(0, 16)}…; ` +
      `host ${source.model}; corpus ${source.corpus}: ${plural(source.n_tokens, "token")} of ` +
      `${plural(source.n_documents, "document")}, BOS tokens left out.`),
  );
}

// Contexts

function contextText(context, largest) {
  const line = make("div", { class: "text" });
  context.tokens.forEach((token, place) => {
    const value = context.activations[place];
    const trimmed = token.startsWith(" ") ? token.slice(1) : token;
    if (trimmed !== token && place > 0) line.append(" ");
    const span = make("bdi", {}, trimmed);
    if (value > 0) {
      span.className = place === context.index ? "active peak" : "active";
      span.style.setProperty("--share", Math.min(1, value / largest).toFixed(3));
      span.title = `${word(token)}: ${number(value)}`;
    }
    line.append(span);
  });
  return line;
}

// Histograms

const charts = [];

function chart(draw, height) {
  const svg = make("svg", { height, role: "img" });
  charts.push(() => {
    svg.replaceChildren();
    const width = svg.parentElement.clientWidth;
    svg.setAttribute("width", width);
    draw(svg, width, height);
  });
  return svg;
}

function drawCharts() {
  for (const redraw of charts) redraw();
}

// Bars between edges, named ticks below, and a marker with its words above them.
function histogram({ edges, counts }, { ticks, describe, marker, height = 190 }) {
  const top = marker ? 30 : 16, bottom = 24, most = Math.max(1, ...counts);
  return chart((svg, width) => {
    const [first, last] = [edges[0], edges.at(-1)];
    const x = (value) => 1 + ((value - first) / (last - first || 1)) * (width - 2);
    const floor = height - bottom;
    counts.forEach((count, index) => {
      if (!count) return;
      const tall = Math.max(1.5, (count / most) * (floor - top));
      const left = x(edges[index]), wide = x(edges[index + 1]) - left;
      const bar = make("rect", { class: "bar", x: left + 0.5, y: floor - tall, width: Math.max(1, wide - 1), height: tall });
      bar.append(make("title", {}, describe(edges[index], edges[index + 1], count)));
      svg.append(bar);
    });
    svg.append(make("line", { class: "axis", x1: 0, x2: width, y1: floor + 0.5, y2: floor + 0.5 }));
    svg.append(make("text", { x: 0, y: 10 }, `up to ${most.toLocaleString("en")}`));
    for (const { value, text } of spaced(ticks, x)) svg.append(label(text, x(value), height - 8, width));
    if (marker) drawMarker(svg, marker, x(marker.value), floor, width);
  }, height);
}

function spaced(ticks, x) {
  const kept = [];
  for (const tick of ticks) {
    const previous = kept.at(-1);
    if (!previous || x(tick.value) - x(previous.value) > 7 * Math.max(6, tick.text.length)) kept.push(tick);
  }
  return kept;
}

function label(text, x, y, width) {
  const anchor = x < 26 ? "start" : x > width - 26 ? "end" : "middle";
  return make("text", { x: Math.max(0, Math.min(width, x)), y, "text-anchor": anchor }, text);
}

function drawMarker(svg, { text }, x, floor, width) {
  svg.append(make("line", { class: "marker", x1: x, x2: x, y1: 20, y2: floor }));
  const anchor = x > width / 2 ? "end" : "start";
  svg.append(make("text", { class: "marker-text", x: x + (anchor === "end" ? 4 : -4), y: 14, "text-anchor": anchor }, text));
}

function densityHistogram(marker) {
  const { densities } = report;
  const ticks = [];
  for (let power = Math.ceil(densities.edges[0]); power <= 0; power++) ticks.push({ value: power, text: percent(10 ** power) });
  const describe = (low, high, count) => `${percent(10 ** low)} to ${percent(10 ** high)}: ${plural(count, "feature")}`;
  return histogram(densities, { ticks, describe, marker });
}

function evenTicks(largest) {
  const rough = largest / 6, unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * ([1, 2, 5, 10].find((factor) => factor * unit >= rough) ?? 10);
  const ticks = [];
  for (let index = 0; index * step <= largest * 1.0001; index++) {
    ticks.push({ value: index * step, text: String(Number((index * step).toPrecision(6))) });
  }
  return ticks;
}
