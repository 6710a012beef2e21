-- Purpose: name the mails in a lane or among the dead letters, without carrying them about.
-- USES:    entry
-- KEYS:    1 a lane, or dead
-- ARGV:    1 first id  2 last id; "(" in front excludes one  3 most entries
--          4 bytes of entries after which the call ends
-- Returns: for each entry {id, identity}; the identity is "" for an entry of another program

local named, read, from = {}, 0, ARGV[1]
while #named < tonumber(ARGV[3]) and read < tonumber(ARGV[4]) do
  local found = redis.call('XRANGE', KEYS[1], from, ARGV[2], 'COUNT', 1)[1]
  if not found then break end
  local fields, flat = {}, found[2]
  for i = 1, #flat, 2 do
    fields[flat[i]] = flat[i + 1]
    read = read + #flat[i + 1]
  end
  named[#named + 1] = {found[1], fields.id or identity_of(fields.m or '')}
  from = '(' .. found[1]
end
return named
