// Puts the page together.

function setUpHeader() {
  at("kicker").textContent = `steering demo, model ${report.model}`;
  at("heading").append(`“${report.answer}”`, make("span", { class: "arrow", "aria-label": "becomes" }, "→"), `“${report.target}”`);
  const name = report.label ? `${report.feature} (${report.label}, F1 ${report.label_f1.toFixed(2)})` : report.feature;
  at("origin").textContent = `One feature of the model, ${name}, is added to its stream at one token.`;
  at("warning").textContent = report.warning;
  at("prompt").textContent = report.prompt;
  at("most").textContent = `${number(report.largest)}, ${report.scale}`;
}

setUpHeader();
setUpDial();
strength.follow(showTexts);
strength.follow(showReadings);
strength.follow(showStrips);
setUpCurves();
setUpTables();
setUpCard();
document.body.dataset.state = "ready";
