-- Asks with one cookie after the other: wrk … --script walk.lua URL -- NAME FILE
local values, at, before = {}, 0, nil

function init(args)
  for value in io.lines(args[2]) do values[#values + 1] = value end
  before = wrk.format("GET", wrk.path):gsub("\r\n\r\n$", "\r\n") .. "cookie: " .. args[1] .. "="
end

function request()
  at = at % #values + 1
  return before .. values[at] .. "\r\n\r\n"
end
