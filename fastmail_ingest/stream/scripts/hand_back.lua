-- Purpose: give some entries of a busy worker to everybody. No handler has seen them.
-- USES:    entry
-- KEYS:    1 again  2 live  3 backfill
-- ARGV:    1 group  2.. pairs of (lane 1-3, entry id)
-- Returns: number given; those that are no longer in their lane are left out

local given = 0
for at = 2, #ARGV, 2 do
  local lane, id = KEYS[tonumber(ARGV[at])], ARGV[at + 1]
  local fields = read_entry(lane, id)
  redis.call('XACK', lane, ARGV[1], id)
  if fields then
    redis.call('XDEL', lane, id)
    add_again(KEYS[1], fields)
    given = given + 1
  end
end
return given
