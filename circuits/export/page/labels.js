// Names in the picture: of pinned nodes, of groups, and of the strongest nodes in view, where there is room.

const MOST_LABELS = 24, LONGEST_LABEL = 30, HALF_LINE = 7;

function drawLabels(visible) {
  drawn.labels.replaceChildren();
  const taken = visible.map(boxOf);
  const isWanted = (unit) => unit.kind === "group" || state.pinned.has(unit.id) || unit.id === state.selected;
  const wanted = visible.filter(isWanted), others = visible.filter((unit) => !isWanted(unit));
  const named = [...wanted, ...others].slice(0, Math.max(MOST_LABELS, wanted.length));
  const texts = named.map((unit) => {
    const name = state.pinned.has(unit.id) ? "label pinned" : "label";
    return make("text", { class: name }, shortened(nameOf(unit)));
  });
  drawn.labels.append(...texts);
  const lengths = texts.map((text) => text.getComputedTextLength());  // all at once: each change asks for a new layout
  for (const [index, unit] of named.entries()) {
    const text = texts[index], box = freeBox(unit, lengths[index], taken, isWanted(unit));
    if (!box) { text.remove(); continue; }
    taken.push(box);
    text.setAttribute("x", box.left);
    text.setAttribute("y", box.bottom - 3);
  }
}

function boxOf(unit) {
  const [x, y] = drawn.place(unit), r = radius(unit, drawn.frame.slot) + (unit.measured === undefined ? 1 : RING_GAP + 1);
  return { left: x - r, right: x + r, top: y - r, bottom: y + r };
}

// One of the places beside, above and below the unit; if none is free, none, or the first for a name that must be seen.
function freeBox(unit, long, taken, isWanted) {
  const [x, y] = drawn.place(unit), own = boxOf(unit), gap = own.right - x + 4;
  const level = [[x + gap, y], [x - gap - long, y]];
  const slanted = [-1, 1].flatMap((side) => [0.5, 0.15, 0.85].map((part) => [x - part * long, y + side * (gap + HALF_LINE)]));
  const boxes = [...level, ...slanted].map(([left, middle]) => (
    { left, right: left + long, top: middle - HALF_LINE, bottom: middle + HALF_LINE }
  ));
  const inside = boxes.filter((box) => box.left > 0 && box.right < drawn.frame.width);
  return inside.find((box) => !taken.some((other) => overlaps(box, other))) ?? (isWanted ? inside[0] : undefined);
}

function overlaps(a, b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

function shortened(text) {
  return text.length > LONGEST_LABEL ? `${text.slice(0, LONGEST_LABEL - 1)}…` : text;
}
