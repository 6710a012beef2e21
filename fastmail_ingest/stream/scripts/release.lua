-- Purpose: give the neighbours of a mail that takes long to everybody; what the worker has begun stays its
--          own. The worker begins no other meanwhile, and its reading connection was unblocked before.
-- USES:    entry
-- KEYS:    1 again  2 live  3 backfill
-- ARGV:    1 group  2 consumer  3 most entries to look at
--          4.. pairs of (lane 1-3, entry id) that stay
-- Returns: number moved

local group, consumer, budget, stays = ARGV[1], ARGV[2], tonumber(ARGV[3]), {}
for at = 4, #ARGV, 2 do stays[ARGV[at] .. ' ' .. ARGV[at + 1]] = true end

local moved = 0
for lane_number = 1, 3 do
  local lane = KEYS[lane_number]
  for _, item in ipairs(redis.call('XPENDING', lane, group, '-', '+', budget, consumer)) do
    local id = item[1]
    local fields = not stays[lane_number .. ' ' .. id] and read_entry(lane, id)
    -- What is not ours is left for the worker, which makes a dead letter of it.
    if fields and fields.m ~= '' then
      redis.call('XACK', lane, group, id)
      redis.call('XDEL', lane, id)
      add_again(KEYS[1], fields)
      moved = moved + 1
    end
  end
end
return moved
