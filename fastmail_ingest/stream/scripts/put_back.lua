-- Purpose: give a consumer's unfinished entries back to everybody, and remove the consumer when it has
--          none left. Entries get new ids, so whatever their old owner still writes about them is void.
-- USES:    entry
-- KEYS:    1 again  2 live  3 backfill  4 dead  5 queued  6 bytes  [7 lease of the consumer's node]
-- ARGV:    1 group  2 consumer  3 most entries to look at in this call
--          4 "1" if the handler may have seen them (the consumer died), "0" if it surely has not
--          5 deaths after which a blamed entry becomes a dead letter
--          6 how it ended: "killed_worker" or "hung"
--          7.. pairs of (lane 1-3, entry id) that were in hand at the death, and so are blamed
-- Returns: {moved, made dead letters, 1 if more is left else 0}; {-1, 0, 0} if the lease in KEYS[7] is alive

if KEYS[7] and redis.call('EXISTS', KEYS[7]) == 1 then return {-1, 0, 0} end

local clock = redis.call('TIME')
local now_ms = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local group, consumer, budget = ARGV[1], ARGV[2], tonumber(ARGV[3])
local may_have_run, deaths_max, reason = ARGV[4] == '1', tonumber(ARGV[5]), ARGV[6]
local blamed = {}
for at = 7, #ARGV, 2 do blamed[ARGV[at] .. ' ' .. ARGV[at + 1]] = true end
local alone = #ARGV <= 8
local moved, buried, seen = 0, 0, 0

local function bury(id, fields, why)
  local identity = identity_of(fields.m)
  if identity == '' then identity = foreign_name(KEYS[5], id) end
  if redis.call('SADD', KEYS[5], identity) == 0 and redis.call('DECRBY', KEYS[6], #fields.m) < 0 then
    redis.call('DEL', KEYS[6])
  end
  why.traceback, why.at = '', now_ms
  bury_entry(KEYS[4], identity, fields, why)
  buried = buried + 1
end

local function give_back(lane_number, id)
  local lane = KEYS[lane_number]
  local fields = read_entry(lane, id)
  redis.call('XACK', lane, group, id)
  if not fields then return end
  local deaths = tonumber(fields.k or '0')
  if blamed[lane_number .. ' ' .. id] then deaths = deaths + 1 end
  redis.call('XDEL', lane, id)
  fields.k = tostring(deaths)
  if fields.m == '' then
    return bury(id, fields, {reason = 'undecodable', error = 'UndecodableEntry',
      message = 'an entry without a payload, written by another program'})
  end
  -- Of several that were in hand one is to blame; the second death, which has one suspect only, tells.
  if deaths >= deaths_max and (alone or deaths > 1) then
    return bury(id, fields, {reason = reason, error = 'WorkerDied',
      message = 'in hand at ' .. deaths .. ' deaths of a worker'})
  end
  if may_have_run then fields.r = tostring(tonumber(fields.r or '0') + 1) end
  add_again(KEYS[1], fields)
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
