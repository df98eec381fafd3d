"use strict";
// Filters findings, and opens everything for paper. Without it the page is whole.
(() => {
  const form = document.getElementById("filter"), words = document.getElementById("words"), shown = document.getElementById("shown");
  const findings = [...document.querySelectorAll("article.finding")];
  if (form) {
    const show = () => {
      const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      const severities = [...form.querySelectorAll("button[aria-pressed=true]")].map(b => b.dataset.severity);
      let n = 0;
      for (const f of findings) {
        const text = f.textContent.toLowerCase();
        f.hidden = !severities.includes(f.dataset.severity) || !wanted.every(w => text.includes(w));
        if (!f.hidden) n++;
      }
      shown.textContent = n === findings.length ? "" : n + " of " + findings.length + " shown";
    };
    form.hidden = false;
    form.addEventListener("submit", e => e.preventDefault());
    words.addEventListener("input", show);
    for (const b of form.querySelectorAll("button")) b.addEventListener("click", () => {
      b.setAttribute("aria-pressed", b.getAttribute("aria-pressed") !== "true");
      show();
    });
  }
  const follow = () => {
    const f = findings.find(f => "#" + f.id === location.hash);
    if (f) f.querySelector("details").open = true;
  };
  addEventListener("hashchange", follow);
  follow();
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const d of closed) d.open = true;
  });
  addEventListener("afterprint", () => { for (const d of closed) d.open = false; });
})();
