-- Purpose: make lanes and consumer group where they are missing. A group that was there before and is not
--          now was removed under living workers: they may hold any of the entries. The new group begins
--          behind those, which are left for `regroup` until the workers have had time to settle.
-- KEYS:    1 again  2 live  3 backfill  4 groups
-- ARGV:    1 group
-- Returns: number of groups that had to be made anew

local clock = redis.call('TIME')
local now_ms = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local function has_group(lane)
  if redis.call('EXISTS', lane) == 0 then return false end
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', lane)) do
    if info[2] == ARGV[1] then return true end
  end
  return false
end

local remade = 0
for lane_number = 1, 3 do
  local lane = KEYS[lane_number]
  if not has_group(lane) then
    local entries = redis.call('EXISTS', lane) == 1 and redis.call('XREVRANGE', lane, '+', '-', 'COUNT', 1) or {}
    local known = redis.call('HEXISTS', KEYS[4], lane_number) == 1
    if known and entries[1] then
      redis.call('XGROUP', 'CREATE', lane, ARGV[1], entries[1][1])
      redis.call('HSET', KEYS[4], lane_number, now_ms .. ' ' .. entries[1][1])
      remade = remade + 1
    else
      redis.call('XGROUP', 'CREATE', lane, ARGV[1], '0', 'MKSTREAM')
      redis.call('HSET', KEYS[4], lane_number, '')
    end
  elseif redis.call('HEXISTS', KEYS[4], lane_number) == 0 then
    redis.call('HSET', KEYS[4], lane_number, '')
  end
end
return remade
