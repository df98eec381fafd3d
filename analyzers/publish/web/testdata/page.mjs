// SPDX-License-Identifier: Apache-2.0

// Runs the page's own script against the agent that serves it: node page.mjs URL.
// Its document takes text and classes; whatever could make markup of text is an
// error here. Prints what the page shows, a line for each element.
const base = process.argv[2]
const page = await (await fetch(base)).text()
const [, script] = page.match(/<script>([^]*)<\/script>/)

const known = ["tag", "textContent", "className", "children", "append", "replaceChildren"]
function element(tag) {
  const e = {
    tag, textContent: "", className: "", children: [],
    append(...more) { e.children.push(...more) },
    replaceChildren(...all) { e.children = all },
  }
  const only = name => { if (!known.includes(name)) throw new Error(`the page uses ${String(name)} of an element`) }
  return new Proxy(e, {
    get(_, name) { only(name); return e[name] },
    set(_, name, value) { only(name); e[name] = value; return true },
  })
}

const places = {}
for (const [, tag, id] of page.matchAll(/<(\w+) id="(\w+)"/g)) places[id] = element(tag)
const document = new Proxy({}, {
  get(_, name) {
    switch (name) {
      case "createElement": return element
      case "getElementById": return id => places[id]
    }
    throw new Error(`the page uses document.${String(name)}`)
  },
})

const show = new Function("document", "fetch", "setInterval", script + "\nreturn show")(
  document, (path, options) => fetch(new URL(path, base), options), () => {})
await show()

function print(where, e) {
  console.log([where, e.tag, e.className, e.textContent].join("|"))
  for (const child of e.children) print(where, child)
}
for (const [id, e] of Object.entries(places)) print(id, e)
