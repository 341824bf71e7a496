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

function since(id, part) {
  at(id).textContent = part ? `from ${part.start.slice(0, 16).replace("T", " ")}${part.final ? "" : ", so far"}` : "";
}

function drawInsights(insights) {
  const found = Object.fromEntries(insights.map((part) => [part.metric, part]));
  const cells = (metric) => found[metric]?.cells ?? [];
  const seen = cells("funnel")[0]?.users ?? 1;
  const steps = cells("funnel").map((cell) => ({ ...cell, key: STEP_NAMES[cell.key] ?? cell.key }));
  bars("funnel", steps, (cell) => `${number(cell.users)} · ${percent(cell.users / seen)}`);
  bars("items", cells("trending_items").slice(0, 6), (cell) => `${number(cell.users)} people`);
  bars("queries", cells("trending_queries").slice(0, 6), (cell) => `${number(cell.users)} people`, () => "c1");
  bars("segments", cells("segments"), (cell) => number(cell.users), (cell) => colourOf(cell.key));
  moods(cells("category_sentiment").slice(0, 8));
  since("funnel-when", found.funnel);
  since("trends-when", found.trending_items ?? found.trending_queries);
  since("mood-when", found.category_sentiment);
  since("segments-when", found.segments);
}

/** Shoppers by how likely they are to buy (right) and to leave (up), a dot each. */
function drawMap(shoppers) {
  const [widest, highest] = ["buys", "leaves"].map((score) => Math.min(1, niceCeiling(Math.max(0.01, ...shoppers.map((shopper) => shopper[score])))));
  at("map-scale").textContent = shoppers.length ? `right: buy, to ${percent(widest)}; up: leave, to ${percent(highest)}` : "";
  const dots = shoppers.map((shopper) => {
    const dot = svgElement("circle", { class: colourOf(shopper.segment), cx: 8 + (shopper.buys / widest) * 284, cy: 192 - (shopper.leaves / highest) * 184, r: 4.5 });
    dot.append(svgElement("title", {}));
    dot.firstChild.textContent = `${shopper.segment}: buys ${percent(shopper.buys)}, leaves ${percent(shopper.leaves)}`;
    return dot;
  });
  const lines = [
    svgElement("line", { class: "grid", x1: 150, x2: 150, y1: 8, y2: 192 }),
    svgElement("line", { class: "grid", x1: 8, x2: 292, y1: 100, y2: 100 }),
  ];
  at("map").replaceChildren(...lines, ...dots);
  at("map").setAttribute("aria-label", `${shoppers.length} shoppers by likelihood to buy and to leave`);
  const groups = [...new Set(shoppers.map((shopper) => shopper.segment))].sort();
  at("map-key").replaceChildren(...groups.map((name) => make("span", "", make("span", `key ${colourOf(name)}`), name)));
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
    parts.push(shares(last.modalities), make("p", "quiet", `Shown: ${last.recommended.join(", ") || "–"}`));
  }
  const reasons = Object.entries(found.why.signals ?? {});
  if (reasons.length) parts.push(make("h3", "", "Signals, and why"), make("ul", "reasons", ...reasons.map(([name, why]) => make("li", "", make("b", "", words(name)), make("span", "quiet", why.split("\n\n")[0])))));
  parts.push(make("h3", "", "Journey, newest first"), make("ol", "steps", ...[...found.history].reverse().map((step) => make("li", "", make("b", "", words(step.action)), make("span", "name", step.product ?? ""), make("time", "quiet", new Date(step.event_time_ms).toLocaleString("en-GB"))))));
  return parts;
}
