// Everything without a mouse: arrows walk from node to node, letters act on the one that has the focus.

const ARROWS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
const SIDEWAYS = 2.5;

function focusedUnit() {
  return graph.unitOf.get(document.activeElement?.dataset?.id) ?? null;
}

function focusUnit(id) {
  for (const [other, group] of drawn.units) group.setAttribute("tabindex", other === id ? 0 : -1);
  drawn.units.get(id)?.focus();
}

// The nearest unit in view in a direction, the stronger of two that are as near; distance across it counts more than
// distance along it.
function neighbour(unit, [dx, dy]) {
  const [x0, y0] = drawn.place(unit);
  let nearest = null, least = Infinity;
  for (const id of shownUnits()) {
    const [x, y] = drawn.place(graph.unitOf.get(id));
    const along = (x - x0) * dx + (y - y0) * dy, across = Math.abs((x - x0) * dy) + Math.abs((y - y0) * dx);
    const cost = along + SIDEWAYS * across;
    if (along > 0.5 && along >= 0.3 * across && cost < least - 0.5) [nearest, least] = [id, cost];
  }
  return nearest;
}

function walk(direction) {
  const unit = focusedUnit();
  const id = unit ? neighbour(unit, direction) : state.selected ?? [...shownUnits()][0];
  if (id) focusUnit(id);
}

// Takes back one thing at a time, the latest kind first.
function escape() {
  pointAway();
  if (state.query) state.query = at("search").value = "";
  else if (state.marked.size) state.marked.clear();
  else state.selected = null;
  update();
}

function actOn(unit, key) {
  if (key === "Enter" || key === " ") select(unit.id);
  else if (key === "p") togglePin(unit.id);
  else if (key === "m") toggleMark(unit.id);
  else return false;
  return true;
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || at("help").open) return;
  if (event.key === "Escape") { escape(); return; }
  if (event.target.closest?.("input, textarea, select")) return;
  const unit = focusedUnit(), isFree = unit || document.activeElement === document.body;
  let isDone = true;
  if (event.key === "/") at("search").focus();
  else if (event.key === "?") at("help").showModal();
  else if (event.key === "g" && state.marked.size) at("name").focus();
  else if (event.key in ARROWS && isFree) walk(ARROWS[event.key]);
  else isDone = unit !== null && actOn(unit, event.key);
  if (isDone) event.preventDefault();
}
