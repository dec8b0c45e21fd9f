// What is in view: the state that a person changes, and what follows from it.

const state = {
  share: 1, edgeShare: 1, errors: true, selected: null, query: "", theme: "",
  pinned: new Set(), marked: new Set(), groups: [],
};
let graph = makeGraph([]);

// The fewest of `items`, strongest first, whose sizes make up `share` of the sum over all.
function strongestShare(items, size, share) {
  if (share === 1) return items;
  const wanted = (share - 1e-9) * items.reduce((sum, item) => sum + size(item), 0);
  let kept = 0, count = 0;
  while (count < items.length && kept < wanted) kept += size(items[count++]);
  return items.slice(0, count);
}

// Errors are not counted: one is in view where it is as strong as the weakest feature in view.
function shownUnits() {
  const sizeOf = (unit) => Math.abs(unit.contribution);
  const counted = graph.units.filter((unit) => unit.kind !== "error");
  const kept = strongestShare(counted, sizeOf, state.share);
  const weakest = state.share === 1 ? 0 : kept.length ? sizeOf(kept.at(-1)) : Infinity;
  const errors = graph.units.filter((unit) => unit.kind === "error" && state.errors && sizeOf(unit) >= weakest);
  const pinned = [...state.pinned].filter((id) => graph.unitOf.has(id));
  return new Set([...kept, ...errors].map((unit) => unit.id).concat(pinned));
}

function shownEdges(shown) {
  const kept = strongestShare(graph.edges, (edge) => Math.abs(edge.effect), state.edgeShare);
  return new Set(kept.filter((edge) => shown.has(edge.source) && shown.has(edge.target)));
}

function reachable(start, edges, from, to) {
  const neighbours = new Map();
  for (const edge of edges) neighbours.set(edge[from], [...(neighbours.get(edge[from]) ?? []), edge[to]]);
  const found = new Set([start]);
  for (const id of found) for (const next of neighbours.get(id) ?? []) found.add(next);
  return found;
}

function isFound(unit) {
  const query = state.query.trim().toLowerCase();
  const texts = (one) => [one.id, nameOf(one), one.token];
  return [unit, ...(unit.members ?? [])].flatMap(texts).some((text) => text.toLowerCase().includes(query));
}

// Everything that the drawing, the table and the counts need to know; `found` is null where nothing is searched.
function currentView() {
  const shown = shownUnits(), edges = shownEdges(shown);
  if (!shown.has(state.selected)) state.selected = null;
  const isPicking = state.selected !== null;
  const upstream = isPicking ? reachable(state.selected, edges, "target", "source") : shown;
  const downstream = isPicking ? reachable(state.selected, edges, "source", "target") : shown;
  const found = state.query.trim() ? new Set(graph.units.filter(isFound).map((unit) => unit.id)) : null;
  const isOnPath = (id) => upstream.has(id) || downstream.has(id);
  const isLit = (id) => (found ? found.has(id) : isOnPath(id));
  const joins = (side, edge) => side.has(edge.source) && side.has(edge.target);
  const isEdgeLit = (edge) => joins(upstream, edge) || joins(downstream, edge);
  return { shown, edges, upstream, downstream, found, isLit, isEdgeLit };
}
