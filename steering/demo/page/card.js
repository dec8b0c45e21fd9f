// What is known of the feature whatever the case.

function cardFact(name, value, note) {
  return make("div", {}, make("dt", {}, name), make("dd", {}, value, ...(note ? [make("small", {}, note)] : [])));
}

function togetherList(others) {
  if (!others.length) return make("p", { class: "note" }, "No other feature of this dictionary.");
  return make("ul", { class: "ranked" }, ...others.map(({ feature, label, overlap }) => {
    const bar = make("div");
    bar.style.width = `${(100 * overlap).toFixed(1)}%`;
    const name = make("span", { class: "name" }, feature, make("small", {}, label ? ` ${label}` : ""));
    return make("li", {}, name, make("span", { class: "value" }, percent(overlap)), make("div", { class: "meter" }, bar));
  }));
}

// What moving it came to, at the strength in view, is in the table of effects and repeated here.
function offTarget(index) {
  const curves = report.curves.filter((curve) => curve.name.startsWith("kl_off_target"));
  return curves.map((curve) => cardFact(curve.title, figure(curve, curve.of_feature[index].value), `${curve.unit} a token`));
}

function showCardFacts(index) {
  const { card } = report, ratio = report.texts[index].norm_ratio;
  at("card-facts").replaceChildren(
    cardFact("Active on", percent(card.density), `of ${card.n_tokens.toLocaleString("en")} tokens`),
    ...offTarget(index),
    cardFact("|change| / |x|", ratio === null ? "–" : number(ratio), `at ${strengthText(index)}`),
  );
}

function setUpCard() {
  const { card } = report;
  at("card-name").textContent = report.label ? `${report.feature}, ${report.label}` : report.feature;
  at("card").append(
    make("dl", { class: "facts", id: "card-facts" }),
    make("div", { class: "cards" },
      section("Makes likelier", "logits a unit of activation", ranked(card.promoted, "positive")),
      section("Makes less likely", "logits a unit of activation", ranked(card.suppressed, "negative")),
      section("Active together with", "share of tokens of either", togetherList(card.co_firing))),
  );
  strength.follow(showCardFacts);
}
