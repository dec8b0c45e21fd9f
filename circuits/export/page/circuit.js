// The page at work: every change of the state ends in `update`, a change of the groups or the width in `draw`.

function update() {
  const view = currentView();
  showUnits(view);
  for (const { edge, path } of drawn.edges) {
    path.classList.toggle("off", !view.edges.has(edge));
    path.classList.toggle("dim", !view.isEdgeLit(edge));
  }
  at("graph").classList.toggle("picking", state.selected !== null);
  drawLabels(graph.units.filter((unit) => view.shown.has(unit.id) && view.isLit(unit.id)));
  showControls(view);
  showDetails();
  showGrouping();
  writeAddress();
}

function showUnits({ shown, found, isLit }) {
  const first = focusedUnit()?.id ?? state.selected ?? graph.units.find((unit) => shown.has(unit.id))?.id;
  for (const [id, group] of drawn.units) {
    const row = drawn.rows.get(id), isSelected = id === state.selected;
    group.classList.toggle("off", !shown.has(id));
    group.classList.toggle("dim", !isLit(id));
    group.classList.toggle("selected", isSelected);
    group.classList.toggle("found", found?.has(id) ?? false);
    group.classList.toggle("marked", state.marked.has(id));
    group.setAttribute("aria-pressed", isSelected);
    group.setAttribute("tabindex", id === first ? 0 : -1);
    row.hidden = !shown.has(id) || !isLit(id);
    row.classList.toggle("selected", isSelected);
  }
}

function showControls({ shown, edges, upstream, downstream, found }) {
  const count = (units) => units.reduce((sum, unit) => sum + featuresIn(unit), 0);
  const inView = count(graph.units.filter((unit) => shown.has(unit.id)));
  at("share").value = state.share;
  at("edge-share").value = state.edgeShare;
  at("errors").checked = state.errors;
  at("reset").hidden = !state.selected;
  at("save").hidden = !state.groups.length;
  at("count").textContent = `${percent(state.share)}: ${inView} of ${plural(count(graph.units), "feature")}`;
  at("edge-count").textContent = `${percent(state.edgeShare)}: ${edges.size} of ${plural(graph.edges.length, "edge")}`;
  at("found").textContent = found ? foundText(found, shown) : "";
  at("hint").textContent = state.selected
    ? `${state.selected}: ${upstream.size - 1} upstream, ${downstream.size - 1} downstream. Escape clears.`
    : "Point at a node for its numbers; click it to follow its paths.";
  document.documentElement.dataset.theme = state.theme;
}

function foundText(found, shown) {
  const inView = [...found].filter((id) => shown.has(id)).length;
  return found.size > inView ? `${inView} found, ${found.size - inView} out of view` : `${inView} found`;
}

function select(id, isFinal = false) {
  state.selected = id === state.selected && !isFinal ? null : id;
  if (!shownUnits().has(state.selected) && state.selected) state.pinned.add(state.selected);
  update();
}

// The next of the units that the search found, strongest first.
function selectFound() {
  const found = graph.units.filter(isFound).map((unit) => unit.id);
  if (state.query.trim() && found.length) select(found[(found.indexOf(state.selected) + 1) % found.length], true);
}

function redraw() {
  pointAway();
  fillLegend();
  fillTable();
  draw();
}

function switchTheme() {
  const isDark = state.theme ? state.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  state.theme = isDark ? "light" : "dark";
  update();
}

function listen() {
  const on = (id, event, act) => at(id).addEventListener(event, act);
  on("share", "input", (event) => { state.share = Number(event.target.value); update(); });
  on("edge-share", "input", (event) => { state.edgeShare = Number(event.target.value); update(); });
  on("errors", "change", (event) => { state.errors = event.target.checked; update(); });
  on("search", "input", (event) => { state.query = event.target.value; update(); });
  on("controls", "submit", (event) => { event.preventDefault(); selectFound(); });
  on("reset", "click", () => select(null));
  on("graph", "click", () => select(null));
  on("grouping", "submit", (event) => { event.preventDefault(); groupMarked(at("name").value.trim() || "group"); at("name").value = ""; });
  on("unmark", "click", () => { state.marked.clear(); update(); });
  on("save", "click", saveGroups);
  on("open", "change", (event) => { if (event.target.files[0]) openGroups(event.target.files[0]); event.target.value = ""; });
  on("theme", "click", switchTheme);
  on("keys", "click", () => at("help").showModal());
  addEventListener("keydown", press);
  addEventListener("hashchange", () => { readAddress(); redraw(); });
  addEventListener("resize", draw);
}

fillHeader();
readAddress();
redraw();
listen();
document.body.dataset.state = "ready";
