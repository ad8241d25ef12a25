// Progressive enhancement only: every page works without this file.
"use strict";

document.documentElement.classList.add("js");

for (const form of document.querySelectorAll("form[data-live]")) {
  // a changed filter applies at once; typing waits for Enter
  form.addEventListener("change", (event) => {
    if (event.target.matches("select, input[type=radio], input[type=date]")) form.requestSubmit();
  });
  // links stay short: fields left blank are not sent
  form.addEventListener("submit", () => {
    for (const field of form.elements) {
      if (field.name && field.value === "") field.disabled = true;
    }
  });
}
window.addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("form[data-live] :disabled")) field.disabled = false;
});

// a menu closes at a click elsewhere and at Escape
const menus = document.querySelectorAll("details.menu, details.me");
document.addEventListener("click", (event) => {
  for (const menu of menus) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of menus) {
    if (menu.open && menu.contains(document.activeElement)) menu.querySelector("summary").focus();
    menu.open = false;
  }
});

for (const button of document.querySelectorAll("[data-toggle]")) {
  button.addEventListener("click", () => {
    const part = document.getElementById(button.dataset.toggle);
    button.setAttribute("aria-expanded", String(part.classList.toggle("is-open")));
  });
}

for (const row of document.querySelectorAll("[data-href]")) {
  row.addEventListener("click", (event) => {
    if (event.target.closest("a, button, input, select, label")) return;
    if (String(window.getSelection())) return;
    window.location.assign(row.dataset.href);
  });
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea")) return;
  const search = document.querySelector("input[type=search]");
  if (search) {
    event.preventDefault();
    search.focus();
    search.select();
  }
});

for (const form of document.querySelectorAll("form[data-upload]")) {
  // a large file shows how far it is; without this the browser sends the form itself
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const bar = form.querySelector("progress");
    const said = form.querySelector("[data-said]");
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.setRequestHeader("X-CSRF-Token", form.elements.csrf_token.value);
    request.upload.addEventListener("progress", (sent) => {
      if (sent.lengthComputable) bar.value = sent.loaded / sent.total;
    });
    request.addEventListener("loadend", () => {
      if (request.status === 200) {
        window.location.assign(request.responseURL);
        return;
      }
      bar.hidden = true;
      delete form.dataset.sent;
      try {
        said.textContent = JSON.parse(request.responseText).detail;
      } catch {
        said.textContent = String(request.status || "");
      }
    });
    bar.hidden = false;
    said.textContent = "";
    request.send(new FormData(form));
  });
}

for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault(); // one click, one effect
    form.dataset.sent = "yes";
  });
}

// exact values follow the pointer at once; without this file the browser shows them after a while
const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
tip.setAttribute("role", "tooltip");
for (const title of document.querySelectorAll("svg title")) {
  title.parentNode.dataset.tip = title.textContent;
  title.remove();
}
if (document.querySelector("[data-tip]")) {
  document.body.append(tip);
  document.addEventListener("pointermove", (event) => {
    const shown = event.target.closest("[data-tip]");
    tip.hidden = !shown;
    if (!shown) return;
    tip.textContent = shown.dataset.tip;
    const left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
    const above = event.clientY - tip.offsetHeight - 14;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${above > 8 ? above : event.clientY + 18}px`;
  });
  document.addEventListener("pointerdown", (event) => {
    if (!event.target.closest("[data-tip]")) tip.hidden = true;
  });
}
