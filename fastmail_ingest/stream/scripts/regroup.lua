-- Purpose: bring back the entries that a removed consumer group left without an owner: those before the new
--          group's beginning that no worker has settled or claimed in the time it was given.
-- USES:    entry
-- KEYS:    1 again  2 live  3 backfill  4 groups
-- ARGV:    1 group  2 time that workers are given (ms)  3 most entries to look at in this call
-- Returns: {number brought back, 1 if a group was made anew and this is not finished, else 0}

local clock = redis.call('TIME')
local now_ms = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local moved, unfinished = 0, 0

local function bring_back(lane_number, last_id)
  local lane = KEYS[lane_number]
  local entries = redis.call('XRANGE', lane, '-', last_id, 'COUNT', ARGV[3])
  local held = 0
  for _, entry in ipairs(entries) do
    local id = entry[1]
    if redis.call('XPENDING', lane, ARGV[1], id, id, 1)[1] then
      held = held + 1
    else
      local fields = read_entry(lane, id)
      redis.call('XDEL', lane, id)
      fields.r = tostring(tonumber(fields.r or '0') + 1)
      add_again(KEYS[1], fields)
      moved = moved + 1
    end
  end
  return #entries - held == 0
end

for lane_number = 1, 3 do
  local mark = redis.call('HGET', KEYS[4], lane_number)
  local at, last_id = string.match(mark or '', '^(%d+) (.+)$')
  if at then
    if now_ms - tonumber(at) >= tonumber(ARGV[2]) and bring_back(lane_number, last_id) then
      redis.call('HSET', KEYS[4], lane_number, '')
    else
      unfinished = 1
    end
  end
end
return {moved, unfinished}
