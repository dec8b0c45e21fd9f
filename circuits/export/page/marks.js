// The mark of a unit: a dot for a feature, a hollow diamond for an error, a square for a group. A fill that is faint was
// kept in few resamples; a ring around the mark says that the effect was measured.

const LARGEST_RADIUS = 13, SMALLEST_RADIUS = 2.8, RING_GAP = 2.8, FAINTEST = 0.15;

function radius(unit, slot) {
  const most = Math.min(LARGEST_RADIUS, 0.44 * slot);
  return Math.max(SMALLEST_RADIUS, most * Math.sqrt(Math.abs(unit.contribution) / graph.largest));
}

function shape(kind, r, attributes) {
  if (kind === "feature") return make("circle", { ...attributes, r });
  if (kind === "error") return make("path", { ...attributes, d: `M0 ${-r}L${r} 0L0 ${r}L${-r} 0Z` });
  const box = { x: -r, y: -r, width: 2 * r, height: 2 * r, rx: 0.3 * r };
  return make("rect", { ...attributes, ...box });
}

// Diamonds are drawn a little larger, so that area is compared with area.
function mark(kind, r, { frequency = 1, isMeasured = false } = {}) {
  const opacity = FAINTEST + (1 - FAINTEST) * frequency;
  const size = kind === "error" ? 1.15 * r : r;
  const fading = kind === "error" ? { "stroke-opacity": opacity } : { "fill-opacity": opacity };
  const parts = [shape(kind, size, { class: "backing" }), shape(kind, size, { class: "mark", ...fading })];
  const gap = kind === "error" ? 1.35 * RING_GAP : RING_GAP;
  if (isMeasured) parts.unshift(shape(kind, size + gap, { class: "ring" }));
  return parts;
}
