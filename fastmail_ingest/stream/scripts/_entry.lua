-- Purpose: how an entry looks inside, put in front of the scripts that say "USES: entry" in their head.
-- KEYS:    none of its own
-- ARGV:    none of its own
-- Returns: nothing; defines locals

local COUNTS, COUNT_MAX = {'f', 'r', 'k', 'p'}, 1000000

-- A count as it stands in an entry. Whatever another program wrote there must not stop a script in its middle.
local function count_of(text)
  if not string.match(text, '^%d+$') then return 0 end
  return math.min(tonumber(text), COUNT_MAX)
end

-- Fields of an entry as a table, or nil if it is gone.
local function read_entry(stream, id)
  local found = redis.call('XRANGE', stream, id, id)
  if not found[1] then return nil end
  local fields, flat = {}, found[1][2]
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  for _, name in ipairs(COUNTS) do
    if fields[name] then fields[name] = tostring(count_of(fields[name])) end
  end
  -- Whatever another program wrote is kept for whoever looks at the dead letter, also when it is moved.
  if fields.m == nil or (fields.m == '' and not fields.x) then fields.x = cmsgpack.pack(flat) end
  fields.m = fields.m or ''
  return fields
end

-- The identity in a payload, "" if the payload is not ours. It is the second element of a msgpack array, whose
-- elements are unpacked one after the other: the payload may be cut, and Redis' cmsgpack knows no binary type.
local function identity_of(payload)
  local ok, identity = pcall(function()
    local at = string.byte(payload) == 0xdc and 3 or 1
    local after_version = cmsgpack.unpack_one(payload, at)
    local _, found = cmsgpack.unpack_one(payload, after_version)
    return found
  end)
  return ok and type(identity) == 'string' and identity or ''
end

-- What the books call an entry without an identity: by its id, which an entry of another lane may have, too.
local function foreign_name(queued, id)
  while redis.call('SISMEMBER', queued, 'foreign:' .. id) == 1 do id = id .. '0' end
  return 'foreign:' .. id
end

-- The fields of a mail that waits for a retry, or nil if they are not there or are not ours.
local function unpack_body(packed)
  local ok, fields = pcall(cmsgpack.unpack, packed or '')
  return ok and type(fields) == 'table' and type(fields.m) == 'string' and fields or nil
end

-- Make a dead letter. `why` has reason, error, message and traceback.
local function bury_entry(dead, identity, fields, why)
  redis.call('XADD', dead, '*', 'm', fields.m, 'id', identity, 'reason', why.reason, 'error', why.error,
    'message', why.message, 'traceback', why.traceback, 'f', fields.f or '0', 'r', fields.r or '0',
    'k', fields.k or '0', 'p', fields.p or '0', 'x', fields.x or '', 'at', why.at)
end

-- Put an entry into the lane of those that come again; what it went through goes with it.
local function add_again(lane, fields)
  local words = {'m', fields.m, 'f', fields.f or '0', 'r', fields.r or '0', 'k', fields.k or '0', 'p', fields.p or '0'}
  if fields.m == '' then words[11], words[12] = 'x', fields.x or '' end
  redis.call('XADD', lane, '*', unpack(words))
end
