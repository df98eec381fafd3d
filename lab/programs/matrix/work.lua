-- SPDX-License-Identifier: Apache-2.0
-- Services of HAProxy that burn CPU time or block.

local function milliseconds(applet)
  return tonumber(applet.qs:match("ms=([%d.]+)") or 0)
end

local function reply(applet)
  applet:set_status(200)
  applet:add_header("content-length", "3")
  applet:start_response()
  applet:send("ok\n")
end

core.register_service("burn", "http", function(applet)
  local finish = os.clock() + milliseconds(applet) / 1000
  local total = 0
  while os.clock() < finish do
    for i = 1, 1000 do total = (total * 31 + i) % 65536 end
  end
  reply(applet)
end)

core.register_service("block", "http", function(applet)
  os.execute("sleep " .. milliseconds(applet) / 1000)
  reply(applet)
end)
