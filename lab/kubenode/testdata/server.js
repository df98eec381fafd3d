// SPDX-License-Identifier: Apache-2.0

// A server that blocks its event loop for stall milliseconds in each period; POST
// /stall/MS changes that while it runs.
let stall = Number(process.env.STALL_MS || 0)
const period = Number(process.env.PERIOD_MS || 800)

function renderInvoice() {
  const end = Date.now() + stall
  while (Date.now() < end);
}

require("http").createServer((request, response) => {
  if (request.method === "POST") stall = Number(request.url.split("/")[2])
  response.end(`stalls ${stall} ms\n`)
}).listen(8080)
setInterval(renderInvoice, period)
process.on("SIGTERM", () => process.exit(0))
