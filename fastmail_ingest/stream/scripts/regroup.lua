-- Purpose: bring back the entries that are in a lane, were given to somebody, and have no owner any more:
--          their consumer group was removed, or a hand acknowledged them, removed their consumer, or moved the
--          group on. Workers may hold them nevertheless, and are given time to settle or claim them.
-- USES:    entry
-- KEYS:    1 again  2 live  3 backfill  4 groups
-- ARGV:    1 group  2 time that workers are given (ms)  3 about how many to bring back in this call
-- Returns: {number brought back, 1 if there are such entries and this is not finished, else 0}

local LOOK_AT = 25  -- an entry without owner is among the oldest sooner or later

local clock = redis.call('TIME')
local now_ms = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local moved, unfinished = 0, 0

local function has_owner(lane, id)
  return redis.call('XPENDING', lane, ARGV[1], id, id, 1)[1] ~= nil
end

-- The id up to which the group has been given entries, if one of these has no owner.
local function given_up_to(lane)
  if redis.call('EXISTS', lane) == 0 then return nil end
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', lane)) do
    local group = {}
    for i = 1, #info, 2 do group[info[i]] = info[i + 1] end
    if group.name == ARGV[1] then
      local last_id = group['last-delivered-id']
      for _, entry in ipairs(redis.call('XRANGE', lane, '-', last_id, 'COUNT', LOOK_AT)) do
        if not has_owner(lane, entry[1]) then return last_id end
      end
    end
  end
  return nil
end

-- True if everything up to `last_id` has an owner now, or is back.
local function bring_back(lane_number, last_id)
  local lane = KEYS[lane_number]
  local from, room = '-', tonumber(ARGV[3])
  repeat
    local entries = redis.call('XRANGE', lane, from, last_id, 'COUNT', LOOK_AT)
    for _, entry in ipairs(entries) do
      local id = entry[1]
      from = '(' .. id
      if not has_owner(lane, id) then
        local fields = read_entry(lane, id)
        redis.call('XDEL', lane, id)
        fields.r = tostring(tonumber(fields.r or '0') + 1)
        add_again(KEYS[1], fields)
        moved, room = moved + 1, room - 1
      end
    end
    if #entries < LOOK_AT then return true end
  until room <= 0
  return false
end

for lane_number = 1, 3 do
  local mark = redis.call('HGET', KEYS[4], lane_number)
  local at, last_id = string.match(mark or '', '^(%d+) (%d+%-%d+)$')
  if not at then
    last_id = given_up_to(KEYS[lane_number])
    if last_id then
      redis.call('HSET', KEYS[4], lane_number, now_ms .. ' ' .. last_id)
      unfinished = 1
    end
  elseif now_ms - tonumber(at) >= tonumber(ARGV[2]) and bring_back(lane_number, last_id) then
    redis.call('HSET', KEYS[4], lane_number, '')
  else
    unfinished = 1
  end
end
return {moved, unfinished}
