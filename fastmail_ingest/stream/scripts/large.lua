-- Purpose: name the mails of a stream, or among those that wait for a retry, whose bytes are in a blob.
-- USES:    entry
-- KEYS:    1 a lane, dead, or delayed:body
-- ARGV:    1 "stream" or "hash"  2 stream: first id, "(" in front excludes one; hash: cursor of its scan
--          3 bytes of entries after which the call ends
-- Returns: {where to go on, "" at the end, identity, ...}

local BLOB_VERSION, STEP = 2, 20  -- the version is that of model/envelope.py
local names, read, from = {''}, 0, ARGV[2]

local function note(payload)
  read = read + #payload + 1
  local ok, version = pcall(function()
    local at = string.byte(payload) == 0xdc and 3 or 1
    local _, found = cmsgpack.unpack_one(payload, at)
    return found
  end)
  if ok and version == BLOB_VERSION then names[#names + 1] = identity_of(payload) end
end

if ARGV[1] == 'hash' then
  repeat
    local page = redis.call('HSCAN', KEYS[1], from, 'COUNT', STEP)
    from = page[1]
    for i = 2, #page[2], 2 do
      local fields = unpack_body(page[2][i])
      note(fields and fields.m or '')
    end
    if from == '0' then return names end
  until read >= tonumber(ARGV[3])
else
  repeat
    local page = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 1)
    if not page[1] then return names end
    from = '(' .. page[1][1]
    local flat = page[1][2]
    for i = 1, #flat, 2 do
      if flat[i] == 'm' then note(flat[i + 1]) end
    end
  until read >= tonumber(ARGV[3])
end
names[1] = from
return names
