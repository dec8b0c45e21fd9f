"use strict";

// The drawing: an SVG of the circuit, made anew for every width. `circuit.js` has the data and the state.

const SVG = "http://www.w3.org/2000/svg";
const TOP = 14, LEFT = 34, RIGHT = 26, LARGEST_RADIUS = 13, SMALLEST_RADIUS = 2.6, MOST_LABELS = 16, LONGEST_LABEL = 30;

const drawn = { nodes: new Map(), edges: [], rows: new Map(), labels: null, place: null, frame: null };

function make(tag, attributes = {}, ...children) {
  const isDrawing = ["svg", "g", "path", "circle", "rect", "line", "text"].includes(tag);
  const element = isDrawing ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function radius(node, slot) {
  const most = Math.min(LARGEST_RADIUS, 0.52 * slot);
  return Math.max(SMALLEST_RADIUS, most * Math.sqrt(Math.abs(node.contribution) / largest));
}

function markShape(kind, r) {
  if (kind === "feature") return make("circle", { class: "mark", r });
  return make("path", { class: "mark", d: `M0 ${-r}L${r} 0L0 ${r}L${-r} 0Z` });
}

function draw() {
  const room = at("canvas").clientWidth - LEFT - RIGHT;
  const slot = Math.min(46, Math.max(18, room / data.width));
  const line = Math.min(38, Math.max(26, slot));
  const width = LEFT + data.width * slot + RIGHT;
  const bottom = TOP + Math.max(data.height, 2) * line;
  const height = bottom + 24 + 5 * Math.max(...data.columns.map((column) => column.text.length));
  const place = (node) => [LEFT + node.x * slot, TOP + (data.height - node.y) * line];
  const frame = { width, height, bottom, slot, line };
  at("graph").replaceChildren();
  setSize(at("graph"), Math.max(width, LEFT + room + RIGHT), height);
  drawFrame(frame);
  drawEdges(place);
  drawNodes(place, slot);
  drawn.labels = at("graph").appendChild(make("g"));
  drawn.place = place;
  drawn.frame = frame;
  update();
}

function setSize(svg, width, height) {
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
}

function drawFrame({ width, height, bottom, slot, line }) {
  const graph = at("graph"), sites = at("sites");
  sites.replaceChildren();
  const used = new Set(nodes.map((node) => node.position));
  data.rows.forEach((row, index) => {
    const y = TOP + (data.height - row.y) * line;
    const tall = row.height * line;
    const band = { class: "band", x: 0, y: y - tall / 2, height: tall };
    if (index % 2 === 0) graph.append(make("rect", { ...band, width: graph.getAttribute("width") }));
    sites.append(make("text", { x: 0, y, "dominant-baseline": "middle" }, row.site));
  });
  const longest = Math.max(0, ...[...sites.children].map((text) => text.getComputedTextLength()));
  setSize(sites, longest + 12, height);
  for (const column of data.columns) {
    const x = LEFT + column.x * slot, isUsed = used.has(column.first);
    if (isUsed) graph.append(make("line", { class: "guide", x1: x, x2: x, y1: TOP, y2: bottom }));
    const turned = { x: x + 3, y: bottom + 14, "text-anchor": "end", transform: `rotate(-45 ${x + 3} ${bottom + 14})` };
    graph.append(make("text", { ...turned, class: isUsed ? "used" : "unused" }, column.text));
  }
  if (!nodes.length) graph.append(make("text", { x: width / 2, y: bottom / 2 }, "No node passed the selection."));
}

function drawEdges(place) {
  const ordered = [...data.edges].sort((a, b) => Math.abs(a.effect) - Math.abs(b.effect));
  drawn.edges = ordered.map((edge) => {
    const [x0, y0] = place(nodeOf.get(edge.source)), [x1, y1] = place(nodeOf.get(edge.target));
    const bend = 0.45 * (y1 - y0), share = Math.abs(edge.effect) / strongestEdge;
    const path = make("path", {
      class: `edge ${sign(-edge.effect)}`,
      d: `M${x0} ${y0}C${x0} ${y0 + bend} ${x1} ${y1 - bend} ${x1} ${y1}`,
      "stroke-width": 0.5 + 4 * share,
      opacity: 0.18 + 0.62 * Math.sqrt(share),
    });
    at("graph").append(path);
    return { edge, path };
  });
}

function drawNodes(place, slot) {
  drawn.nodes = new Map(nodes.map((node) => {
    const [x, y] = place(node), r = radius(node, slot);
    const group = make(
      "g",
      {
        class: `node ${node.kind} ${sign(node.contribution)}`, transform: `translate(${x} ${y})`, tabindex: 0,
        role: "button", "data-id": node.id, "aria-label": `${node.id}, ${nameOf(node)}, ${signed(node.contribution)}`,
      },
      make("circle", { class: "hit", r: Math.max(r, slot / 2) }),
      markShape(node.kind, node.kind === "feature" ? r : 1.15 * r),
    );
    group.addEventListener("pointerenter", () => showTip(node, group));
    group.addEventListener("pointerleave", hideTip);
    group.addEventListener("focus", () => showTip(node, group));
    group.addEventListener("blur", hideTip);
    group.addEventListener("click", (event) => { event.stopPropagation(); select(node.id); });
    group.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); select(node.id); }
    });
    at("graph").append(group);
    return [node.id, group];
  }));
}

// Names of the strongest nodes in view, where one of four places beside the node is free.
function drawLabels(visible) {
  drawn.labels.replaceChildren();
  const { slot, width } = drawn.frame;
  const taken = visible.map((node) => {
    const [x, y] = drawn.place(node), r = radius(node, slot);
    return { left: x - r - 3, right: x + r + 3, top: y - r, bottom: y + r };
  });
  for (const node of visible.slice(0, MOST_LABELS)) {
    const [x, y] = drawn.place(node), gap = radius(node, slot) + 5;
    const text = drawn.labels.appendChild(make("text", { class: "label" }, shortened(nameOf(node))));
    const long = text.getComputedTextLength();
    const places = [[x + gap, y], [x - gap - long, y], [x - long / 2, y - gap - 6], [x - long / 2, y + gap + 6]];
    const free = places.map(([left, middle]) => ({ left, right: left + long, top: middle - 7, bottom: middle + 7 }))
      .find((box) => box.left > 0 && box.right < width && !taken.some((other) => overlaps(box, other)));
    if (!free) { text.remove(); continue; }
    taken.push(free);
    text.setAttribute("x", free.left);
    text.setAttribute("y", free.bottom - 3);
  }
}

function overlaps(a, b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

function shortened(text) {
  return text.length > LONGEST_LABEL ? `${text.slice(0, LONGEST_LABEL - 1)}…` : text;
}
