// The page: a customer id kept by the browser, everything else asked of the API (window.API, from config.js).
const $ = (id) => document.getElementById(id);
let customer = null;
let folder = "";

async function api(method, path, body) {
  const answer = await fetch(window.API + path, {
    method,
    headers: body ? { "content-type": "application/json" } : {},
    body: body && JSON.stringify(body),
  });
  const data = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Error(data.message || answer.statusText);
  return data;
}

async function attempt(work) {
  try {
    $("problem").hidden = true;
    await work();
  } catch (error) {
    $("problem").textContent = error.message;
    $("problem").hidden = false;
  }
}

function base() {
  return `/customers/${customer.customerId}/bookmarks`;
}

async function show() {
  $("join").hidden = !!customer;
  $("app").hidden = !customer;
  $("who").hidden = !customer;
  if (!customer) return;
  $("who").textContent = customer.name;
  const all = (await api("GET", base())).bookmarks;
  const folders = [...new Set(all.map((b) => b.folder))].sort();
  if (folder && !folders.includes(folder)) folder = "";
  const kept = folder ? (await api("GET", `${base()}?folder=${encodeURIComponent(folder)}`)).bookmarks : all;
  $("tabs").replaceChildren(...["", ...folders].map(tab));
  $("folders").replaceChildren(...folders.map((f) => Object.assign(document.createElement("option"), { value: f })));
  $("list").replaceChildren(...kept.reverse().map(row));
  $("empty").hidden = kept.length > 0;
}

function tab(name) {
  const button = document.createElement("button");
  button.textContent = name || "all";
  button.setAttribute("aria-current", String(name === folder));
  button.onclick = () => attempt(() => { folder = name; return show(); });
  return button;
}

function row(bookmark) {
  const item = document.createElement("li");
  const text = document.createElement("div");
  const link = Object.assign(document.createElement("a"), { href: bookmark.url, textContent: bookmark.title });
  const url = Object.assign(document.createElement("small"), { textContent: bookmark.url });
  const tag = Object.assign(document.createElement("span"), { className: "tag", textContent: bookmark.folder });
  const remove = Object.assign(document.createElement("button"), { textContent: "remove" });
  remove.onclick = () => attempt(async () => { await api("DELETE", `${base()}/${bookmark.id}`); await show(); });
  text.append(link, url);
  item.append(text, tag, remove);
  return item;
}

$("join").onsubmit = (event) => {
  event.preventDefault();
  attempt(async () => {
    customer = await api("POST", "/customers", Object.fromEntries(new FormData(event.target)));
    localStorage.setItem("customerId", customer.customerId);
    await show();
  });
};

$("add").onsubmit = (event) => {
  event.preventDefault();
  attempt(async () => {
    await api("POST", base(), Object.fromEntries(new FormData(event.target)));
    event.target.reset();
    await show();
  });
};

attempt(async () => {
  const known = localStorage.getItem("customerId");
  if (known) customer = await api("GET", `/customers/${known}`).catch(() => null);
  await show();
});
