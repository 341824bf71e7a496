// Titles and photos of products: asked for once, held for a while. Uses the helpers of page.js.
"use strict";

const ITEMS_HELD = 400;
const ITEMS_ASKED = 60;
const AGAIN_MS = 15000; // the catalogue may name tomorrow what it does not know today
const known = new Map(); // product → {title, price, currency, photo, url, asked_ms}
let asking = false;

/** A square for the photo; it shows the first letter until, or unless, there is one. */
function photoOf(product, className = "photo") {
  const square = make("span", className);
  square.dataset.product = product;
  paint(square);
  return square;
}

/** The title, or the id of a product that the catalogue does not name. */
function titleOf(product, className = "title") {
  const text = make("span", className);
  text.dataset.titled = product;
  paint(text);
  return text;
}

function paint(element) {
  const product = element.dataset.product ?? element.dataset.titled;
  const item = known.get(product);
  const title = item?.title ?? product;
  if (element.dataset.titled !== undefined) {
    if (element.textContent !== title) element.textContent = title;
    return;
  }
  element.title = title;
  if (item?.url) {
    if (element.firstChild?.src === item.url) return;
    const image = make("img", "");
    image.src = item.url;
    image.alt = title;
    element.replaceChildren(image);
  } else if (!element.firstChild) element.append(title.slice(0, 1).toUpperCase());
}

function priceOf(product) {
  const item = known.get(product);
  if (item?.price === null || item?.price === undefined) return "";
  try {
    return item.price.toLocaleString("en", { style: "currency", currency: item.currency ?? "USD" });
  } catch {
    return `${item.price} ${item.currency}`; // not one of ISO 4217
  }
}

/** Ask for what the page shows and does not know; then paint it. */
async function learnItems() {
  if (asking) return;
  const now = Date.now();
  const shown = [...document.querySelectorAll("[data-product], [data-titled]")].map((e) => e.dataset.product ?? e.dataset.titled);
  const wanted = [...new Set(shown)].filter((product) => !(known.get(product)?.asked_ms > now - AGAIN_MS) && !known.get(product)?.title);
  if (!wanted.length) return;
  asking = true;
  try {
    const query = wanted.slice(0, ITEMS_ASKED).map((product) => `id=${encodeURIComponent(product)}`).join("&");
    const response = await fetch(`/v1/items?${query}`, { headers: access() });
    if (!response.ok) return;
    for (const item of (await response.json()).items) known.set(item.product_id, { ...item, asked_ms: now });
    forgetItems(new Set(shown));
    paintAll();
    for (const product of wanted) fetchPhoto(product); // each is painted when it comes
  } catch {
    // the page says that it is disconnected; it asks again then
  } finally {
    asking = false;
  }
}

async function fetchPhoto(product) {
  const item = known.get(product);
  if (!item?.photo || item.url) return;
  try {
    const response = await fetch(item.photo, { headers: access() });
    if (!response.ok) return;
    item.url = URL.createObjectURL(await response.blob());
    paintAll();
  } catch {
    item.asked_ms = 0; // disconnected: ask again
  }
}

function paintAll() {
  document.querySelectorAll("[data-product], [data-titled]").forEach(paint);
}

function forgetItems(shown) {
  for (const [product, item] of known) {
    if (known.size <= ITEMS_HELD) return;
    if (shown.has(product)) continue;
    if (item.url) URL.revokeObjectURL(item.url);
    known.delete(product);
  }
}
