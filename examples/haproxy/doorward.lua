-- Asks doorward by forward auth whether a request may pass, and who sent it. Needs HAProxy 2.6 for `core.httpclient`.
--
--   lua-load doorward.lua
--   http-request lua.doorward http://127.0.0.1:9191
--   http-request deny deny_status 503 unless { var(txn.doorward) -m str permitted }
--
-- The last line matters: HAProxy goes on after an error in Lua.

-- As long as a decision may take, milliseconds. A doorward that does not answer lets nobody through.
local PATIENCE = 10000

-- What doorward decides by, besides method, host and target.
local SHOWN = {
  "accept", "authorization", "content-type", "cookie", "referer", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site",
  "upgrade", "x-forwarded-for", "x-forwarded-proto", "x-request-id", "x-requested-with",
}

-- Set from the answer, or gone.
local CREDENTIALS = { authorization = true, cookie = true }

-- Of this connection.
local HOP = { connection = true, ["content-length"] = true, ["keep-alive"] = true, ["transfer-encoding"] = true }

-- Whether applications are told by this name who somebody is. They take `_` for `-`.
local function tells_who(name)
  local plain = name:gsub("_", "-")
  return plain:find("^kubeflow%-") or plain:find("^x%-auth%-request%-") or plain:find("^x%-doorward%-")
    or plain:find("^x%-forwarded%-user$") or plain:find("^x%-forwarded%-email$") or plain:find("^x%-forwarded%-groups$")
    or plain:find("^x%-forwarded%-preferred%-username$") or plain:find("^x%-forwarded%-access%-token$") or plain == "gap-auth"
end

-- Values of a header, which HAProxy counts from 0.
local function all(values)
  local list = {}
  for at = 0, #values do list[#list + 1] = values[at] end
  return list
end

local function question(txn, doorward, received)
  local headers = {
    ["x-forwarded-method"] = { txn.sf:method() },
    ["x-forwarded-uri"] = { txn.sf:pathq() },
    ["x-forwarded-host"] = { txn.sf:req_hdr("host") },
  }
  for _, name in ipairs(SHOWN) do
    if received[name] then headers[name] = all(received[name]) end
  end
  return { url = doorward .. "/doorward/forward-auth", headers = headers, timeout = PATIENCE }
end

core.register_action("doorward", { "http-req" }, function(txn, doorward)
  local received = txn.http:req_get_headers()
  local answer = core.httpclient():get(question(txn, doorward, received))
  local status = answer and answer.status or 0

  if status >= 200 and status < 300 then
    for name in pairs(received) do
      if CREDENTIALS[name] or tells_who(name) then txn.http:req_del_header(name) end
    end
    for name, values in pairs(answer.headers) do
      if CREDENTIALS[name] or tells_who(name) then txn.http:req_set_header(name, values[0]) end
    end
    txn:set_var("txn.doorward", "permitted")
    return
  end

  -- The sign-in page, the way to the issuer, 401 for scripts, 403: as doorward has it.
  local reply = txn:reply({ status = status >= 300 and status or 503 })
  if status >= 300 then
    for name, values in pairs(answer.headers) do
      if not HOP[name] then
        for _, value in ipairs(all(values)) do reply:add_header(name, value) end
      end
    end
    reply:set_body(answer.body or "")
  end
  txn:done(reply)
end, 1)
