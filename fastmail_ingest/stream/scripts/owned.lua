-- Purpose: tell a worker which of the entries it once read still are its own.
-- KEYS:    1 again  2 live  3 backfill
-- ARGV:    1 group  2 consumer  3.. pairs of (lane 1-3, entry id)
-- Returns: for each pair 1 if it is still pending for this consumer, else 0

local owned = {}
for at = 3, #ARGV, 2 do
  local id = ARGV[at + 1]
  local pending = redis.call('XPENDING', KEYS[tonumber(ARGV[at])], ARGV[1], id, id, 1, ARGV[2])
  owned[#owned + 1] = #pending
end
return owned
