// SPDX-License-Identifier: Apache-2.0

package browser

// Sight fails the test for accessibility faults: text with too little contrast
// (WCAG AA), a page that is wider than its window, and controls and images without
// a name for screen readers.
func (p *Page) Sight(where string) {
	p.t.Helper()
	p.becomes(`matchMedia("(prefers-color-scheme: ` + p.look.String() + `)").matches`)
	for _, fault := range Value[[]string](p, sight) {
		p.t.Errorf("%s: %s", where, fault)
	}
}

// sight is the script that Sight runs in the page. First it checks that it can
// detect faults at all.
const sight = `(() => {
  const faults = [];
  const visible = e => e.checkVisibility({visibilityProperty: true, contentVisibilityAuto: true}) && e.getClientRects().length > 0;
  const rgb = c => { const m = c.match(/[\d.]+/g).map(Number); return {r: m[0], g: m[1], b: m[2], a: m[3] ?? 1} };
  const luminance = c => [c.r, c.g, c.b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.a > 0) return c; } return {r: 255, g: 255, b: 255}; };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  for (let n; n = texts.nextNode();) {
    const e = n.parentElement;
    if (!n.data.trim() || e.closest("svg, script, style, noscript, option") || !visible(e)) continue;
    seen++;
    const style = getComputedStyle(e), a = luminance(rgb(style.color)), b = luminance(ground(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700;
    if (ratio < (large ? 3 : 4.5)) faults.push("contrast " + ratio.toFixed(2) + " of " + JSON.stringify(n.data.trim().slice(0, 40)) + " (" + style.color + ")");
    if (parseFloat(style.fontSize) < 11) faults.push("text of " + style.fontSize + ": " + n.data.trim().slice(0, 40));
  }
  if (seen < 5) faults.push("only " + seen + " texts are visible");
  const page = document.documentElement;
  if (page.scrollWidth > innerWidth) {
    const wide = [...document.querySelectorAll("body *")].filter(e => visible(e) && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + "." + e.className);
    faults.push("the page is " + page.scrollWidth + " wide in a window of " + innerWidth + ": " + wide.slice(0, 5).join(", "));
  }
  for (const e of document.querySelectorAll("input, select, button, summary, a, [role=img]")) {
    if (visible(e) && !(e.getAttribute("aria-label") || e.textContent.trim() || e.title)) faults.push("a " + e.tagName + " without a name: " + e.outerHTML.slice(0, 80));
  }
  if (!document.documentElement.lang) faults.push("no language");
  return faults;
})()`
