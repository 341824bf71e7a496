// The live page: reads snapshots from /v1/live (server-sent events over fetch, so that a token can go along) and draws them.
"use strict";

const HISTORY_S = 120;
const SHORTEST_S = 15; // the chart starts this wide and widens as time passes
const MODALITIES = { behavior: "c0", text: "c1", voice: "c3", image: "c4" };
const PERCENT = { style: "percent", maximumFractionDigits: 0 };
const at = (id) => document.getElementById(id);
const history = []; // {second, rates: [per type]}
const courses = {}; // figure → [{second, value}]
const FAMILIES = {
  sell: ["hot_lead", "cart_abandoned", "churn_risk"],
  mend: ["search_friction", "rage_clicks", "dead_ends", "slow_journey", "drop_off"],
  feel: ["negative_sentiment", "falling_sentiment", "contradiction", "complaint"],
  doubt: ["bot_suspected"],
};
const FAMILY_WORDS = { sell: "marketing", mend: "page to mend", feel: "how they feel", doubt: "not human" };
let paused = false;
let listsDrawnMs = 0;

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const number = (n) => (n >= 100000 ? compact.format(n) : n < 10 && n % 1 ? n.toFixed(1) : whole.format(n));
const percent = (share) => share.toLocaleString("en", PERCENT);
const words = (name) => name.slice(name.lastIndexOf(".") + 1).replace(/[_-]/g, " "); // a topic loses its prefix

/** An element with text or children; never HTML from data. */
function make(tag, className, ...content) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...content);
  return element;
}

function setText(id, text, unit) {
  const parts = unit ? [text, make("small", "", unit)] : [text];
  at(id).replaceChildren(...parts);
}

function drawTiles(snapshot) {
  const types = Object.values(snapshot.types);
  setText("events-rate", number(types.reduce((sum, type) => sum + type.rate, 0)));
  setText("predictions-rate", number(snapshot.predictions_rate));
  for (const name of ["p50", "p99"]) {
    const ms = snapshot.latency_ms[name];
    if (ms === null) setText(name, "–");
    else if (ms < 1000) setText(name, whole.format(ms), "ms");
    else setText(name, (ms / 1000).toFixed(1), "s");
  }
  spark("events", types.reduce((sum, type) => sum + type.rate, 0));
  spark("predictions", snapshot.predictions_rate);
  spark("p50", snapshot.latency_ms.p50 ?? 0);
  spark("p99", snapshot.latency_ms.p99 ?? 0);
  spark("lag", snapshot.lag_records);
  setText("lag", number(snapshot.lag_records));
  setText("bad", number(snapshot.verdicts.dead_lettered ?? 0));
  at("model").textContent = snapshot.model.trim() ? `Model ${snapshot.model}` : "Model not loaded yet";
}

/** The course of one figure, a point a second. */
function spark(name, value) {
  const points = (courses[name] ??= []);
  const second = Math.floor(Date.now() / 1000);
  if (points.at(-1)?.second === second) points.pop();
  points.push({ second, value });
  while (points[0].second < second - 60) points.shift();
  const most = Math.max(...points.map((point) => point.value), 1e-9);
  const width = Math.max(SHORTEST_S, second - points[0].second);
  const line = points.map((p) => `${(100 - ((second - p.second) / width) * 100).toFixed(1)},${(22 - (p.value / most) * 19).toFixed(1)}`);
  const from = line[0].split(",")[0];
  at(`${name}-spark`).replaceChildren(
    svgElement("path", { class: "under", d: `M${from},24L${line.join("L")}L100,24Z` }),
    svgElement("path", { class: "line", d: `M${line.join("L")}` }),
  );
}

function drawStatus(state, text) {
  const pill = at("status");
  pill.dataset.state = state;
  if (pill.textContent !== text) pill.textContent = text;
  document.body.toggleAttribute("data-lost", state === "lost");
}

function drawTypes(types) {
  const rows = Object.entries(types).map(([name, type], k) => {
    const row = make("tr", "");
    const head = make("th", "", make("span", `key c${k}`), make("span", "capital", words(name)));
    head.scope = "row";
    row.append(head, make("td", "number", number(type.rate)), make("td", "number", number(type.total)));
    return row;
  });
  at("types").replaceChildren(...rows);
}

function remember(types) {
  const second = Math.floor(Date.now() / 1000);
  const rates = Object.values(types).map((type) => type.rate);
  if (history.at(-1)?.second === second) history.pop();
  history.push({ second, rates });
  while (history[0].second < second - HISTORY_S) history.shift();
}

/** Stacked areas, one per type, the newest second at the right edge. */
function drawChart(types) {
  const [width, height] = [600, 160];
  const svg = at("chart");
  const totals = history.map((point) => point.rates.reduce((sum, rate) => sum + rate, 0));
  const peak = Math.max(...totals);
  const top = niceCeiling(Math.max(peak, 1));
  const now = history.at(-1).second;
  const span = Math.max(SHORTEST_S, now - history[0].second);
  const x = (point) => width - ((now - point.second) / span) * width;
  const y = (value) => height - (value / top) * (height - 14);
  const shapes = [0.5, 1].map((share) => svgElement("line", { class: "grid", x1: 0, x2: width, y1: y(top * share), y2: y(top * share) }));
  let below = history.map(() => 0);
  Object.keys(types).forEach((_, k) => {
    const above = below.map((base, j) => base + history[j].rates[k]);
    const forth = history.map((point, j) => `${x(point).toFixed(1)},${y(above[j]).toFixed(1)}`);
    const back = history.map((point, j) => `${x(point).toFixed(1)},${y(below[j]).toFixed(1)}`).reverse();
    if (above.some((value, j) => value > below[j])) {
      shapes.push(svgElement("path", { class: `c${k}`, d: `M${forth.concat(back).join("L")}Z` }));
    }
    below = above;
  });
  svg.replaceChildren(...shapes);
  svg.setAttribute("aria-label", peak ? `At most ${number(peak)} events per second in the last two minutes` : "No events yet");
  at("chart-top").textContent = peak ? number(top) : "";
}

function niceCeiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((step) => step * power >= value) * power;
}

function svgElement(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function drawVerdicts(verdicts) {
  const pairs = Object.entries(verdicts).map(([name, total]) =>
    make("div", "", make("dt", "", make("span", "capital", words(name))), make("dd", "", number(total))),
  );
  at("verdicts").replaceChildren(...pairs);
}

function drawSignals(signals) {
  at("no-signals").hidden = signals.length > 0;
  putNewestFirst(at("signals"), signals, (signal) => {
    const time = make("time", "quiet", new Date(signal.at_ms).toLocaleTimeString("en-GB"));
    const family = Object.keys(FAMILIES).find((name) => FAMILIES[name].includes(signal.signal)) ?? "mend";
    const dot = make("i", `family ${family}`);
    dot.title = FAMILY_WORDS[family];
    return make("li", "", dot, make("b", "", words(signal.signal)), opener(signal.user), time);
  });
}

function drawPredictions(predictions) {
  at("no-predictions").hidden = predictions.length > 0;
  at("predictions").hidden = predictions.length === 0;
  putNewestFirst(at("predictions").tBodies[0], predictions, (found) => {
    const head = make("th", "", opener(found.user));
    head.scope = "row";
    const cells = [
      ["Buys", meter(found.purchase)],
      ["Leaves", meter(found.churn)],
      ["Next", found.next_action ? words(found.next_action) : "–"],
      ["Mood", found.sentiment ?? "–"],
      ["Group", found.segment ?? "–"],
      ["Might like", make("span", "photos", ...found.recommended.map((product) => photoOf(product, "photo small")))],
      ["Decided by", shares(found.modalities)],
    ].map(([label, content]) => {
      const cell = make("td", "", content);
      cell.dataset.label = label;
      return cell;
    });
    return make("tr", "", head, ...cells);
  });
}

/** Keeps the rows that are there, adds the new ones on top, drops what the snapshot no longer holds. */
function putNewestFirst(list, entries, draw) {
  const kept = new Set(entries.map((entry) => String(entry.id)));
  for (const row of [...list.children]) if (!kept.has(row.dataset.id)) row.remove();
  const there = new Set([...list.children].map((row) => row.dataset.id));
  for (const entry of entries) {
    if (there.has(String(entry.id))) continue;
    const row = draw(entry);
    row.dataset.id = entry.id;
    row.classList.add("new");
    list.prepend(row);
  }
}

function meter(score) {
  if (score === null || score === undefined) return "–";
  const fill = make("span", "");
  fill.style.width = percent(Math.min(1, Math.max(0, score)));
  return make("div", "meter", make("i", "", fill), percent(score));
}

function shares(modalities) {
  const present = Object.entries(MODALITIES).filter(([name]) => modalities[name] > 0);
  const bar = make("div", "shares");
  for (const [name, colour] of present) {
    const part = make("span", colour);
    part.style.flex = `${modalities[name]} 0 0`;
    bar.append(part);
  }
  const text = present.map(([name, colour]) => make("span", "", make("span", `key ${colour}`), `${name} ${percent(modalities[name])}`));
  return make("div", "", bar, make("div", "words", ...text));
}

function access() {
  const token = sessionStorage.getItem("token");
  return token ? { Authorization: `Bearer ${token}` } : {};
}

function draw(snapshot) {
  drawStatus(snapshot.ready ? "ready" : "waiting", snapshot.ready ? "Ready" : `Not ready: ${snapshot.reasons.join("; ")}`);
  drawTiles(snapshot);
  drawTypes(snapshot.types);
  remember(snapshot.types);
  drawChart(snapshot.types);
  drawVerdicts(snapshot.verdicts);
  if (paused || Date.now() - listsDrawnMs < 900) return; // a person reads at most one change a second
  listsDrawnMs = Date.now();
  drawSignals(snapshot.signals);
  drawPredictions(snapshot.predictions);
  drawInsights(snapshot.insights);
  drawMap(snapshot.map);
  learnItems();
}

/** One connection: returns when it ends; throws when it cannot be had. */
async function watch() {
  const response = await fetch("/v1/live", { headers: access() });
  at("ask").hidden = response.status !== 401;
  if (!response.ok) throw new Error(response.status === 401 ? "Token needed" : `Answer ${response.status}`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    if (events.length) draw(JSON.parse(events.at(-1).slice("data: ".length)));
  }
}

async function watchForEver() {
  for (;;) {
    try {
      await watch();
      drawStatus("lost", "Disconnected, trying again");
    } catch (error) {
      drawStatus("lost", error.message === "Token needed" ? error.message : "Disconnected, trying again");
    }
    await new Promise((resolve) => setTimeout(resolve, 1500));
  }
}

at("pause").addEventListener("click", () => {
  paused = !paused;
  at("pause").setAttribute("aria-pressed", String(paused));
  at("pause").textContent = paused ? "Go on" : "Pause lists";
});
at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", at("token").value);
  at("token").value = "";
});
watchForEver();
