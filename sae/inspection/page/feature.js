// The page of one feature.

const { source } = report;
const name = report.label?.text ?? `Feature ${report.feature}`;
const isSilent = report.n_active === 0;

function fillHeader() {
  at("heading").append(name);
  const place = `feature ${report.feature} of ${source.d_sae.toLocaleString("en")} at ${source.site} of ${source.model}`;
  at("origin").textContent = report.label ? place : `${place}; it has no name that fits`;
  fact("Active on", percent(report.density), `${report.n_active.toLocaleString("en")} of ${plural(source.n_tokens, "token")}`);
  if (!isSilent) {
    fact("Largest activation", number(report.largest_activation));
    fact("Mean when active", number(report.mean_activation));
  }
  fact("Threshold", number(report.threshold));
  if (report.label) fact("F1 of the name", report.label.f1.toFixed(2));
}

function histograms() {
  const cards = make("div", { class: "cards" });
  if (!isSilent) {
    const largest = report.largest_activation;
    const describe = (low, high, count) => `${number(low)} to ${number(high)}: ${plural(count, "token")}`;
    cards.append(section(
      "Activations", "tokens by size of activation", make("figure", {}, histogram(report.activations, { ticks: evenTicks(largest), describe })),
    ));
  }
  const marker = isSilent ? null : { value: Math.log10(report.density), text: "this feature" };
  const dead = report.n_dead ? `; ${report.n_dead.toLocaleString("en")} never active` : "";
  cards.append(section(
    "Density", `all features by share of tokens${dead}`, make("figure", {}, densityHistogram(marker)),
  ));
  return cards;
}

function ranked(items, kind = "plain") {
  const largest = Math.max(...items.map((item) => Math.abs(item.size)), 1e-9);
  const list = make("ul", { class: `ranked ${kind}` });
  for (const { name, note, value, size, title } of items) {
    const bar = make("div");
    bar.style.width = `${(100 * Math.abs(size)) / largest}%`;
    const text = make("bdi", {}, name);
    const cell = make("span", { class: "name" }, text);
    if (note) cell.append(make("small", {}, ` ${note}`));
    if (title) cell.title = title;
    list.append(make("li", {}, cell, make("span", { class: "value" }, value), make("div", { class: "meter" }, bar)));
  }
  return list;
}

function lens() {
  const rows = (pairs) => pairs.map(({ token, logit }) => ({ name: word(token), value: (logit > 0 ? "+" : "") + number(logit), size: logit }));
  return section(
    "Logit lens", "",
    make("div", { class: "pair" },
      make("div", {}, make("h3", {}, "makes likelier"), ranked(rows(report.promoted), "positive")),
      make("div", {}, make("h3", {}, "makes less likely"), ranked(rows(report.suppressed), "negative"))),
  );
}

function firingTokens() {
  const rows = report.tokens.map(({ token, n, share_of_firings, share_of_token }) => ({
    name: word(token), value: percent(share_of_firings), size: share_of_firings,
    note: `on ${percent(share_of_token)} of its occurrences`,
    title: `active on ${n} of the ${Math.round(n / share_of_token).toLocaleString("en")} occurrences of this token`,
  }));
  return section("Tokens it is active on", "share of its firings", ranked(rows));
}

function neighbours() {
  const rows = report.neighbours.map(({ feature, cosine, label }) => ({
    name: label?.text ?? `feature ${feature}`, note: label ? String(feature) : "", value: cosine.toFixed(2).replace("-", "−"), size: Math.max(0, cosine),
  }));
  return section("Nearest features", "cosine of decoder rows", ranked(rows));
}

function contextList(contexts) {
  const list = make("ol", { class: "contexts" });
  for (const context of contexts) {
    const value = make("span", { class: "value" }, number(context.activations[context.index]));
    list.append(make("li", {}, value, contextText(context, report.largest_activation)));
  }
  return list;
}

function contexts() {
  if (isSilent) {
    return [section("Contexts", "", make("p", {}, `The feature is active on none of the ${plural(source.n_tokens, "token")}.`))];
  }
  const key = make("span", { class: "key" }, "0", make("i"), number(report.largest_activation));
  const strongest = section("Strongest contexts", "each from another document", key, contextList(report.strongest));
  const tenths = section("By decile", "drawn at random from each tenth of its activations, the strongest first");
  report.deciles.forEach(({ low, high, contexts }, index) => {
    if (!contexts.length) return;
    const heading = make("h3", {}, `Decile ${report.deciles.length - index}`, make("small", {}, `${number(low)} to ${number(high)}`));
    tenths.append(heading, contextList(contexts));
  });
  return [strongest, tenths];
}

fillHeader();
const details = make("div", { class: "cards" }, ...(isSilent ? [] : [firingTokens()]), neighbours());
at("main").append(histograms(), lens(), details, ...contexts());
fillFooter(`Logit lens: ${report.lens}.`);
drawCharts();
addEventListener("resize", drawCharts);
document.body.dataset.state = "ready";
