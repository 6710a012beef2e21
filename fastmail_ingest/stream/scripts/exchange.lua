-- Purpose: put a restored stream, which is complete under other names, in place of the one there is: all at once,
--          and nothing else in the database is touched.
-- KEYS:    1 any key of the stream: all others are in its slot
-- ARGV:    1 glob of all keys  2 beginning of all keys
--          3 glob of the keys to put in place  4 beginning of their names  5 glob of the supervisors' leases
-- Returns: {number of keys removed, number put in place}; {-1, 0} while a supervisor's lease lives

local CHUNK = 1000

local function named(glob)
  local names, cursor = {}, '0'
  repeat
    local page = redis.call('SCAN', cursor, 'MATCH', glob, 'COUNT', CHUNK)
    cursor = page[1]
    for _, name in ipairs(page[2]) do names[name] = true end
  until cursor == '0'
  return names
end

if next(named(ARGV[5])) then return {-1, 0} end

local removed, placed = 0, 0
local new = named(ARGV[3])
for name in pairs(named(ARGV[1])) do
  if not new[name] then removed = removed + redis.call('UNLINK', name) end
end
for name in pairs(new) do
  redis.call('RENAME', name, ARGV[2] .. string.sub(name, #ARGV[4] + 1))
  placed = placed + 1
end
return {removed, placed}
