-- Purpose: after a restore: what waits in a lane may have been handled since the backup was made. Each mail of
--          which no count says that a handler may have seen it gets one, so that its next attempt is above 1.
-- USES:    entry
-- KEYS:    1 a lane
-- ARGV:    1 first id  2 last id; "(" in front excludes one  3 bytes of entries after which the call ends
-- Returns: {number marked, the id to go on behind, or "" at the end}

local marked, read, from = 0, 0, ARGV[1]
while read < tonumber(ARGV[3]) do
  local found = redis.call('XRANGE', KEYS[1], from, ARGV[2], 'COUNT', 1)[1]
  if not found then return {marked, ''} end
  local id = found[1]
  from = '(' .. id
  local fields = read_entry(KEYS[1], id)
  read = read + #fields.m + 1
  local seen = (fields.f or '0') ~= '0' or (fields.r or '0') ~= '0'
  if fields.m ~= '' and not seen then
    redis.call('XDEL', KEYS[1], id)
    fields.r = '1'
    add_again(KEYS[1], fields)
    marked = marked + 1
  end
end
return {marked, from}
