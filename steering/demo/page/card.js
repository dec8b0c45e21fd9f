// What is known of the feature whatever the case.

function cardFacts(facts) {
  return make("dl", { class: "facts" }, ...facts.map(({ name, value, note }) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value, ...(note ? [make("small", {}, note)] : [])))));
}

function setUpCard() {
  const { card } = report;
  at("card-name").textContent = report.label ? `${report.feature}, ${report.label}` : report.feature;
  const lists = [
    section("Makes likelier", "logits for one unit of activation", ranked(card.promoted, "positive")),
    section("Makes less likely", "logits for one unit of activation", ranked(card.suppressed, "negative")),
  ];
  at("card").append(cardFacts(card.facts), make("div", { class: "cards" }, ...lists));
}
