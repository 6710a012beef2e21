-- Purpose: give a consumer's unfinished entries back to everybody, and remove the consumer when it has
--          none left. Entries get new ids, so whatever their old owner still writes about them is void.
-- KEYS:    1 again  2 live  3 backfill  4 dead  [5 lease of the consumer's node]
-- ARGV:    1 group  2 consumer  3 most entries to look at in this call  4 now (ms)
--          5 "1" if the handler may have seen them (the consumer died), "0" if it surely has not
--          6 deaths after which a blamed entry becomes a dead letter
--          7.. pairs of (lane 1-3, entry id) that were in hand at the death, and so are blamed
-- Returns: {moved, made dead letters, 1 if more is left else 0}; {-1, 0, 0} if the lease in KEYS[5] is alive

if KEYS[5] and redis.call('EXISTS', KEYS[5]) == 1 then return {-1, 0, 0} end

local group, consumer, budget = ARGV[1], ARGV[2], tonumber(ARGV[3])
local may_have_run, deaths_max = ARGV[5] == '1', tonumber(ARGV[6])
local blamed = {}
for at = 7, #ARGV, 2 do blamed[ARGV[at] .. ' ' .. ARGV[at + 1]] = true end
local moved, buried, seen = 0, 0, 0

-- The identity is the payload's second element; "" if the payload is not ours. Redis' cmsgpack knows no
-- binary type, so the array cannot be unpacked whole: its elements are, one after the other.
local function identity_of(fields)
  local ok, identity = pcall(function()
    local at = string.byte(fields.m) == 0xdc and 3 or 1
    local after_version = cmsgpack.unpack_one(fields.m, at)
    local _, found = cmsgpack.unpack_one(fields.m, after_version)
    return found
  end)
  return ok and type(identity) == 'string' and identity or ''
end

local function bury(fields, deaths)
  redis.call('XADD', KEYS[4], '*', 'm', fields.m or '', 'id', identity_of(fields), 'reason', 'killed_worker',
    'error', 'WorkerDied', 'message', 'in hand at ' .. deaths .. ' deaths of a worker', 'traceback', '',
    'f', fields.f or '0', 'r', fields.r or '0', 'k', tostring(deaths), 'at', ARGV[4])
  buried = buried + 1
end

local function give_back(lane_number, id)
  local lane = KEYS[lane_number]
  local found = redis.call('XRANGE', lane, id, id)
  redis.call('XACK', lane, group, id)
  if not found[1] then return end
  local fields, flat = {}, found[1][2]
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  local deaths = tonumber(fields.k or '0')
  if blamed[lane_number .. ' ' .. id] then deaths = deaths + 1 end
  redis.call('XDEL', lane, id)
  if deaths >= deaths_max then return bury(fields, deaths) end
  local returns = tonumber(fields.r or '0')
  if may_have_run then returns = returns + 1 end
  redis.call('XADD', KEYS[1], '*', 'm', fields.m or '', 'f', fields.f or '0', 'r', returns, 'k', deaths)
  moved = moved + 1
end

for lane_number = 1, 3 do
  local lane = KEYS[lane_number]
  local room = budget - seen
  if room > 0 and redis.call('EXISTS', lane) == 1 then
    local pending = redis.call('XPENDING', lane, group, '-', '+', room, consumer)
    seen = seen + #pending
    for _, item in ipairs(pending) do give_back(lane_number, item[1]) end
  end
end

-- Not counting what was moved: entries that are gone from the stream fill the budget, too.
if seen >= budget then return {moved, buried, 1} end
for lane_number = 1, 3 do
  if redis.call('EXISTS', KEYS[lane_number]) == 1 then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[lane_number], group, consumer)
  end
end
return {moved, buried, 0}
