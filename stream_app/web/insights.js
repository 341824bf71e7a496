// Aggregates, the map of shoppers and one shopper's journey. Uses the helpers of page.js.
"use strict";

const COLOURS = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];
const coloured = new Map(); // segment → colour, as they turn up
const STEP_NAMES = { seen: "saw or searched", looked: "looked at a product", wanted: "wished for one", carted: "filled the cart", bought: "bought" };

function colourOf(segment) {
  if (!coloured.has(segment)) coloured.set(segment, COLOURS[coloured.size % COLOURS.length]);
  return coloured.get(segment);
}

/** Labelled bars, the longest full. `says` gives the text at the end of a row. */
function bars(id, cells, says, colour = () => "c0") {
  const most = Math.max(...cells.map((cell) => cell.users), 1);
  const rows = cells.map((cell) => {
    const fill = make("i", colour(cell));
    fill.style.width = percent(cell.users / most);
    return make("li", "", make("span", "label", cell.key), make("span", "track", fill), make("span", "number", says(cell)));
  });
  at(id).replaceChildren(...rows);
  at(id).hidden = rows.length === 0;
  at(`no-${id}`).hidden = rows.length > 0;
}

/** A bar to the left of the middle for unhappy, to the right for happy. */
function moods(cells) {
  const rows = cells.map((cell) => {
    const fill = make("i", cell.mean < 0 ? "bad" : "good");
    fill.style.width = percent(Math.abs(cell.mean) / 2);
    fill.style.marginLeft = percent(cell.mean < 0 ? 0.5 + cell.mean / 2 : 0.5);
    return make("li", "", make("span", "label", cell.key), make("span", "track middle", fill), make("span", "number", cell.mean.toFixed(2)));
  });
  at("mood").replaceChildren(...rows);
  at("mood").hidden = rows.length === 0;
  at("no-mood").hidden = rows.length > 0;
}

const cards = new Map(); // product → its card, kept so that photos do not flicker

/** Trending products as cards, the most wanted first. */
function drawItems(cells) {
  const rows = cells.map((cell, rank) => {
    let card = cards.get(cell.key);
    if (!card) {
      card = make("li", "card", make("span", "rank", ""), photoOf(cell.key, "photo large"), titleOf(cell.key), make("span", "quiet price", ""), make("span", "quiet people", ""));
      cards.set(cell.key, card);
    }
    card.querySelector(".rank").textContent = rank + 1;
    card.querySelector(".price").textContent = priceOf(cell.key);
    card.querySelector(".people").textContent = `${number(cell.users)} people`;
    return card;
  });
  for (const [product, card] of cards) if (!rows.includes(card)) cards.delete(product);
  if (rows.some((row, at_) => at("items").children[at_] !== row) || at("items").children.length !== rows.length) at("items").replaceChildren(...rows);
  at("items").hidden = rows.length === 0;
  at("no-items").hidden = rows.length > 0;
}

function since(id, part) {
  at(id).textContent = part ? `from ${part.start.slice(0, 16).replace("T", " ")}${part.final ? "" : ", so far"}` : "";
}

function drawInsights(insights) {
  const found = Object.fromEntries(insights.map((part) => [part.metric, part]));
  const cells = (metric) => found[metric]?.cells ?? [];
  const seen = cells("funnel")[0]?.users ?? 1;
  const steps = cells("funnel").map((cell) => ({ ...cell, key: STEP_NAMES[cell.key] ?? cell.key }));
  bars("funnel", steps, (cell) => `${number(cell.users)} · ${percent(cell.users / seen)}`);
  drawItems(cells("trending_items").slice(0, 8));
  bars("queries", cells("trending_queries").slice(0, 6), (cell) => `${number(cell.users)} people`, () => "c1");
  bars("segments", cells("segments"), (cell) => number(cell.users), (cell) => colourOf(cell.key));
  moods(cells("category_sentiment").slice(0, 8));
  since("funnel-when", found.funnel);
  since("trends-when", found.trending_items ?? found.trending_queries);
  since("mood-when", found.category_sentiment);
  since("segments-when", found.segments);
}

const MAP = { left: 14, right: 466, top: 12, bottom: 244 };

/** Shoppers by how likely they are to buy (right) and to leave (up), a dot each; likelihoods as square roots, because
 * most are small. A ring is the middle of a group, as large as the group. */
function drawMap(shoppers) {
  const scale = (score) => {
    const found = shoppers.map((shopper) => shopper[score]).sort((a, b) => a - b);
    return Math.min(1, niceCeiling(Math.max(0.01, found[Math.floor(found.length * 0.97)] ?? 1)));
  };
  const [widest, highest] = [scale("buys"), scale("leaves")];
  const x = (shopper) => MAP.left + Math.sqrt(Math.min(1, shopper.buys / widest)) * (MAP.right - MAP.left);
  const y = (shopper) => MAP.bottom - Math.sqrt(Math.min(1, shopper.leaves / highest)) * (MAP.bottom - MAP.top);
  const dots = shoppers.map((shopper) => {
    const dot = svgElement("circle", { class: colourOf(shopper.segment), cx: x(shopper).toFixed(1), cy: y(shopper).toFixed(1), r: 4 });
    dot.append(svgElement("title", {}));
    dot.firstChild.textContent = `${shopper.segment}: buys ${percent(shopper.buys)}, leaves ${percent(shopper.leaves)}`;
    dot.addEventListener("click", () => openJourney(shopper.user));
    return dot;
  });
  const groups = [...new Set(shoppers.map((shopper) => shopper.segment))].sort();
  const rings = groups.map((name) => {
    const mine = shoppers.filter((shopper) => shopper.segment === name);
    const mean = (of) => mine.reduce((sum, shopper) => sum + of(shopper), 0) / mine.length;
    return svgElement("circle", { class: `ring ${colourOf(name)}`, cx: mean(x).toFixed(1), cy: mean(y).toFixed(1), r: (8 + 3 * Math.sqrt(mine.length)).toFixed(1) });
  });
  const middle = [(MAP.left + MAP.right) / 2, (MAP.top + MAP.bottom) / 2];
  const lines = [
    svgElement("line", { class: "grid", x1: middle[0], x2: middle[0], y1: MAP.top, y2: MAP.bottom }),
    svgElement("line", { class: "grid", x1: MAP.left, x2: MAP.right, y1: middle[1], y2: middle[1] }),
  ];
  const names = shoppers.length
    ? [svgText(MAP.right, 263, "end", `likely to buy, to ${percent(widest)} →`), svgText(MAP.left, 263, "start", `↑ likely to leave, to ${percent(highest)}`)]
    : [];
  at("map").replaceChildren(...lines, ...rings, ...dots, ...names);
  at("map").setAttribute("aria-label", shoppers.length ? `${shoppers.length} shoppers by likelihood to buy and to leave` : "No shoppers yet");
  at("map-key").replaceChildren(...groups.map((name) => make("span", "", make("span", `key ${colourOf(name)}`), name)));
}

function svgText(x, y, anchor, text) {
  const element = svgElement("text", { x, y, "text-anchor": anchor });
  element.textContent = text;
  return element;
}

/** The shopper's name as a button that opens their journey. */
function opener(user) {
  const button = make("button", "name", user);
  button.type = "button";
  button.setAttribute("aria-label", `Journey of shopper ${user}`);
  button.addEventListener("click", () => openJourney(user));
  return button;
}

async function openJourney(user) {
  const dialog = at("journey");
  at("journey-title").textContent = `Shopper ${user}`;
  at("journey-body").replaceChildren(make("p", "quiet", "Asking …"));
  if (!dialog.open) dialog.showModal();
  try {
    const response = await fetch(`/v1/journeys/${encodeURIComponent(user)}`, { headers: access() });
    const found = await response.json();
    at("journey-body").replaceChildren(...(response.ok ? told(found) : [make("p", "", "Nothing is known about this shopper here any more.")]));
    learnItems();
  } catch {
    at("journey-body").replaceChildren(make("p", "", "The worker does not answer."));
  }
}

function told(found) {
  const last = found.predictions[0];
  const session = found.windows.find((window) => window.type === "session");
  const facts = [["Events", number(found.events)]];
  if (session) facts.push(["Engagement", `${session.engagement_score} of 100`], ["Funnel", words(session.funnel_step)], ["Do next", session.next_best_action ? words(session.next_best_action) : "nothing"]);
  const parts = [make("dl", "facts", ...facts.map(([name, value]) => make("div", "", make("dt", "", name), make("dd", "", value))))];
  if (last) {
    parts.push(make("h3", "", "Last prediction, and what decided it"));
    parts.push(make("dl", "facts", ...[["Buys", meter(last.purchase)], ["Leaves", meter(last.churn)], ["Next", words(last.next_action ?? "–")], ["Group", last.segment ?? "–"]].map(([name, value]) => make("div", "", make("dt", "", name), make("dd", "", value)))));
    parts.push(shares(last.modalities));
    if (last.recommended.length) parts.push(make("h3", "", "Might like"), make("ol", "cards few", ...last.recommended.map((product) => make("li", "card", photoOf(product, "photo large"), titleOf(product)))));
  }
  const reasons = Object.entries(found.why.signals ?? {});
  if (reasons.length) parts.push(make("h3", "", "Signals, and why"), make("ul", "reasons", ...reasons.map(([name, why]) => make("li", "", make("b", "", words(name)), make("span", "quiet", why.split("\n\n")[0])))));
  parts.push(make("h3", "", "Journey, newest first"), make("ol", "steps", ...[...found.history].reverse().map((step) => make("li", "", make("b", "", words(step.action)), ...(step.product ? [photoOf(step.product, "photo small"), titleOf(step.product, "quiet")] : []), make("time", "quiet", new Date(step.event_time_ms).toLocaleString("en-GB"))))));
  return parts;
}
