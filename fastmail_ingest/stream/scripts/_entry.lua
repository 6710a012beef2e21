-- Purpose: how an entry looks inside, put in front of the scripts that say "USES: entry" in their head.
-- KEYS:    none of its own
-- ARGV:    none of its own
-- Returns: nothing; defines locals

-- Fields of an entry as a table, or nil if it is gone.
local function read_entry(stream, id)
  local found = redis.call('XRANGE', stream, id, id)
  if not found[1] then return nil end
  local fields, flat = {}, found[1][2]
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  fields.m = fields.m or ''
  -- Whatever another program wrote is kept for whoever looks at the dead letter.
  if fields.m == '' then fields.x = cmsgpack.pack(flat) end
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

-- Make a dead letter. `why` has reason, error, message and traceback.
local function bury_entry(dead, identity, fields, why)
  redis.call('XADD', dead, '*', 'm', fields.m, 'id', identity, 'reason', why.reason, 'error', why.error,
    'message', why.message, 'traceback', why.traceback, 'f', fields.f or '0', 'r', fields.r or '0',
    'k', fields.k or '0', 'p', fields.p or '0', 'x', fields.x or '', 'at', why.at)
end

-- Put an entry into the lane of those that come again; what it went through goes with it.
local function add_again(lane, fields)
  redis.call('XADD', lane, '*', 'm', fields.m, 'f', fields.f or '0', 'r', fields.r or '0', 'k', fields.k or '0',
    'p', fields.p or '0')
end
