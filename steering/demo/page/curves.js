// Quantities over strengths on other prompts, with their intervals and the null's; a click takes a strength.

function curvePath(points) {
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join(""));
  return path;
}

function drawSeries(svg, measurements, x, y, { line, band, dot }) {
  const known = measurements.map((each, index) => ({ ...each, index })).filter((each) => each.value !== null);
  const bounded = known.filter((each) => each.low !== null);
  if (bounded.length > 1) {
    const outline = [...bounded.map((each) => [x(each.index), y(each.high)]), ...bounded.reverse().map((each) => [x(each.index), y(each.low)])];
    const area = curvePath(outline);
    area.setAttribute("class", band);
    svg.append(area);
  }
  const path = curvePath(known.map((each) => [x(each.index), y(each.value)]));
  path.setAttribute("class", line);
  svg.append(path);
  const now = known.find((each) => each.index === strength.index);
  if (now) svg.append(circle(x(now.index), y(now.value), dot));
}

function circle(x, y, kind) {
  const mark = document.createElementNS(SVG, "circle");
  for (const [name, value] of Object.entries({ cx: x, cy: y, r: 5, class: kind })) mark.setAttribute(name, value);
  return mark;
}

function scaleTop(curve) {
  if (curve.unit === "") return 1;
  const ends = [...curve.of_feature, ...curve.of_null].map((each) => each.high ?? each.value ?? 0);
  return Math.max(...ends, 1e-9) * 1.05;
}

function drawCurve(svg, curve, width, height) {
  const left = 44, right = 10, top = 8, bottom = 24, most = scaleTop(curve);
  const last = strengthOf(report.texts.length - 1) || 1;
  const x = (index) => left + (strengthOf(index) / last) * (width - left - right);
  const y = (value) => top + (1 - Math.max(0, Math.min(1, value / most))) * (height - top - bottom);
  const ticks = curve.unit === "" ? [0, 0.5, 1].map((value) => ({ value, text: percent(value) })) : evenTicks(most).filter(({ value }) => value <= most);
  for (const { value, text } of thinned(ticks)) {
    svg.append(make("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
    svg.append(make("text", { x: left - 7, y: y(value) + 4, "text-anchor": "end" }, text));
  }
  svg.append(make("line", { class: "now", x1: x(strength.index), x2: x(strength.index), y1: top, y2: height - bottom }));
  drawSeries(svg, curve.of_null, x, y, { line: "null", band: "null-band", dot: "null-dot" });
  drawSeries(svg, curve.of_feature, x, y, { line: "line", band: "band", dot: "dot" });
  for (const { value, text } of evenTicks(last)) {
    const place = left + (value / last) * (width - left - right);
    svg.append(make("text", { x: place, y: height - 7, "text-anchor": place > width - 25 ? "end" : "middle" }, text));
  }
  return (place) => nearest(place, x);
}

const thinned = (ticks) => (ticks.length > 5 ? ticks.filter((_, index) => index % 2 === 0) : ticks);

function nearest(place, x) {
  const distances = report.texts.map((_, index) => Math.abs(x(index) - place));
  return distances.indexOf(Math.min(...distances));
}

function curveFigure(curve) {
  let indexAt = () => strength.index;
  const svg = chart((drawn, width, height) => { indexAt = drawCurve(drawn, curve, width, height); }, 190);
  svg.setAttribute("aria-label", `${curve.title} by strength, in the table below at each strength`);
  svg.addEventListener("click", (event) => strength.set(indexAt(event.clientX - svg.getBoundingClientRect().left)));
  const title = make("h3", {}, curve.title);
  if (curve.unit) title.append(make("small", {}, curve.unit));
  return make("figure", { class: "curve" }, title, svg);
}

function setUpCurves() {
  const drawn = report.curves.filter((curve) => report.drawn.includes(curve.name));
  const legend = make("ul", { class: "legend" },
    make("li", {}, make("i"), `${report.feature}, with 95 % intervals`),
    make("li", { class: "null" }, make("i"), report.null_name));
  at("curves").append(...drawn.map(curveFigure));
  at("curves").after(legend, make("p", { class: "note" }, `Horizontal: strength in ${report.unit}; ${report.unit_words}`));
  addEventListener("resize", drawCharts);
  strength.follow(drawCharts);
}
