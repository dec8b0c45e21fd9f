// The strength in view: one number that everything else follows.

const strength = {
  index: report.chosen,
  listeners: [],
  follow(show) {
    this.listeners.push(show);
    show(this.index);
  },
  set(index) {
    const within = Math.max(0, Math.min(report.texts.length - 1, index));
    if (within === this.index) return;
    this.index = within;
    at("strength").value = within;
    for (const show of this.listeners) show(within);
  },
};

const strengthOf = (index) => report.texts[index].value;
const plainNumber = (value) => String(Number(value.toPrecision(4))).replaceAll("-", "−");
const strengthText = (index) => `${plainNumber(strengthOf(index))} ${report.unit}`;

function showUnits(index) {
  const known = Object.entries(report.texts[index].strengths).filter(([unit, value]) => unit !== report.unit && value !== null);
  const others = known.map(([unit, value]) => `${number(value)} ${unit}`).join(", ");
  at("value").textContent = strengthText(index);
  at("units").textContent = `${others ? `= ${others}. ` : ""}${report.places}${index === report.chosen ? " The chosen strength." : ""}`;
  at("strength").setAttribute("aria-valuetext", strengthText(index));
}

function setUpDial() {
  const dial = at("strength");
  dial.max = report.texts.length - 1;
  dial.value = strength.index;
  dial.addEventListener("input", () => strength.set(Number(dial.value)));
  at("dial").addEventListener("submit", (event) => event.preventDefault());
  strength.follow(showUnits);
}
