// The drawing: an SVG of the circuit, made anew for every width and every grouping.

const TOP = 14, LEFT = 34, RIGHT = 34;

const drawn = { units: new Map(), edges: [], rows: new Map(), labels: null, place: null, frame: null };

function draw() {
  const room = at("canvas").clientWidth - LEFT - RIGHT;
  const slot = Math.min(46, Math.max(20, room / data.width));
  const line = Math.min(38, Math.max(28, slot));
  const width = LEFT + data.width * slot + RIGHT;
  const bottom = TOP + Math.max(data.height, 2) * line;
  const height = bottom + 24 + 5 * Math.max(...data.columns.map((column) => column.text.length));
  drawn.place = (unit) => [LEFT + unit.x * slot, TOP + (data.height - unit.y) * line];
  drawn.frame = { width: Math.max(width, LEFT + room + RIGHT), height, bottom, slot, line };
  at("graph").replaceChildren();
  setSize(at("graph"), drawn.frame.width, height);
  drawRows();
  drawColumns();
  drawEdges();
  drawUnits();
  drawn.labels = at("graph").appendChild(make("g", { "aria-hidden": "true" }));
  update();
}

function setSize(svg, width, height) {
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
}

// Names of sites stand beside the picture, where scrolling leaves them, and in it for paper and small screens.
function drawRows() {
  const { width, height, line } = drawn.frame;
  at("sites").replaceChildren();
  data.rows.forEach((row, index) => {
    const y = TOP + (data.height - row.y) * line, tall = row.height * line;
    if (index % 2 === 0) at("graph").append(make("rect", { class: "band", x: 0, y: y - tall / 2, width, height: tall }));
    at("graph").append(make("text", { class: "site", x: 6, y: y - tall / 2 + 14 }, row.site));
    at("sites").append(make("text", { x: 0, y, "dominant-baseline": "middle" }, row.site));
  });
  const longest = Math.max(0, ...[...at("sites").children].map((text) => text.getComputedTextLength()));
  setSize(at("sites"), longest + 14, height);
}

function drawColumns() {
  const { width, bottom, slot } = drawn.frame;
  const used = new Set(data.nodes.map((node) => node.position));
  for (const column of data.columns) {
    const x = LEFT + column.x * slot, isUsed = used.has(column.first);
    if (isUsed) at("graph").append(make("line", { class: "guide", x1: x, x2: x, y1: TOP, y2: bottom }));
    const turned = { x: x + 3, y: bottom + 14, "text-anchor": "end", transform: `rotate(-45 ${x + 3} ${bottom + 14})` };
    at("graph").append(make("text", { ...turned, class: isUsed ? "used" : "unused" }, column.text));
  }
  if (data.nodes.length) return;
  at("graph").append(make("text", { x: width / 2, y: bottom / 2, "text-anchor": "middle" }, "No node passed the selection."));
}

// Weak edges first, so that the strong ones lie above.
function drawEdges() {
  drawn.edges = graph.edges.toReversed().map((edge) => {
    const [x0, y0] = drawn.place(graph.unitOf.get(edge.source)), [x1, y1] = drawn.place(graph.unitOf.get(edge.target));
    const bend = 0.45 * (y1 - y0), share = Math.abs(edge.effect) / graph.strongestEdge;
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

function drawUnits() {
  drawn.units = new Map(graph.units.map((unit) => [unit.id, drawUnit(unit)]));
  at("graph").append(...drawn.units.values());
}

function drawUnit(unit) {
  const [x, y] = drawn.place(unit), { slot } = drawn.frame, r = radius(unit, slot);
  const measured = unit.measured === undefined ? "" : `, measured ${signed(unit.measured)}`;
  const group = make(
    "g",
    {
      class: `node ${unit.kind} ${sign(unit.contribution)}`, transform: `translate(${x} ${y})`, tabindex: -1,
      role: "button", "data-id": unit.id,
      "aria-label": `${unit.id}, ${nameOf(unit)}, at ${unit.token}, ${inUnits(unit.contribution)}${measured}`,
    },
    make("circle", { class: "hit", r: Math.max(r, slot / 2) }),
    ...mark(unit.kind, r, { frequency: unit.frequency, isMeasured: unit.measured !== undefined }),
  );
  for (const start of ["pointerenter", "focus"]) group.addEventListener(start, () => pointAt(unit, group));
  for (const end of ["pointerleave", "blur"]) group.addEventListener(end, pointAway);
  group.addEventListener("click", (event) => {
    event.stopPropagation();
    if (event.shiftKey || event.ctrlKey || event.metaKey) toggleMark(unit.id);
    else select(unit.id);
  });
  return group;
}
