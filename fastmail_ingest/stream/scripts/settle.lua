-- Purpose: write down what became of a batch: done, to be tried again, or dead; all of it or nothing.
--          An entry that is no longer in its lane was put back and belongs to somebody else by now:
--          whatever is said about it is ignored. So the entry id is the fence against late writers.
-- USES:    ledger entry
-- KEYS:    1 again  2 live  3 backfill  4 queued  5 delayed  6 delayed:body  7 dead  8 bytes  9 done
-- ARGV:    1 group  2 keep (days)  3 month TTL (s)
--          then for each lane (again, live, backfill): n, bytes of the n payloads, n entry ids,
--                               n identities                                          -- done
--          then n, and n times: lane (1-3), entry id, identity, wait (ms), "1" if it counts as a failure,
--                               error                                                 -- delayed
--          then n, and n times: lane (1-3), entry id, identity, reason, error type,
--                               message, traceback                                    -- dead
-- Returns: number of entries ignored because they were no longer ours

local group, at, ignored, freed = ARGV[1], 4, 0, 0
local queued, delayed, body, dead = KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local months = open_months(KEYS[9], tonumber(ARGV[2]), ARGV[3])

local function settle_done(lane, first, count, bytes)
  local ids_last = first + count - 1
  local finished = {}
  -- Removing comes first, everywhere: a Redis without memory refuses a script that begins with adding.
  local acked = redis.call('XACK', lane, group, unpack(ARGV, first, ids_last))
  if acked == count then
    redis.call('XDEL', lane, unpack(ARGV, first, ids_last))
    freed = freed + bytes
    for i = first + count, ids_last + count do finished[#finished + 1] = ARGV[i] end
  else
    for i = first, ids_last do
      local fields = read_entry(lane, ARGV[i])
      if fields then
        redis.call('XDEL', lane, ARGV[i])
        if redis.call('SREM', queued, ARGV[i + count]) == 1 then freed = freed + #fields.m end
        finished[#finished + 1] = ARGV[i + count]
      else
        ignored = ignored + 1
      end
    end
  end
  if #finished > 0 then
    redis.call('SREM', queued, unpack(finished))
    remember(months[1], finished)
  end
end

-- Take an entry out of its lane; nil if it is gone.
local function take(lane, id)
  local fields = read_entry(lane, id)
  redis.call('XACK', lane, group, id)
  if fields then redis.call('XDEL', lane, id) else ignored = ignored + 1 end
  return fields
end

for lane = 1, 3 do
  local count, bytes = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  if count > 0 then settle_done(KEYS[lane], at + 2, count, bytes) end
  at = at + 2 + 2 * count
end

local count = tonumber(ARGV[at])
at = at + 1
for _ = 1, count do
  local fields = take(KEYS[tonumber(ARGV[at])], ARGV[at + 1])
  if fields then
    local identity = ARGV[at + 2]
    -- A failure that does not count still was a call of the handler.
    local counter = ARGV[at + 4] == '1' and 'f' or 'r'
    fields[counter] = tostring(tonumber(fields[counter] or '0') + 1)
    fields.e = ARGV[at + 5]
    redis.call('ZADD', delayed, now_ms + tonumber(ARGV[at + 3]), identity)
    redis.call('HSET', body, identity, cmsgpack.pack(fields))
  end
  at = at + 6
end

count = tonumber(ARGV[at])
at = at + 1
for _ = 1, count do
  local fields = take(KEYS[tonumber(ARGV[at])], ARGV[at + 1])
  if fields then
    local identity = ARGV[at + 2]
    if identity == '' then identity = identity_of(fields.m) end
    if identity == '' then identity = foreign_name(queued, ARGV[at + 1]) end
    -- Of a foreign entry nobody has heard before: as a dead letter it counts like all others.
    if redis.call('SADD', queued, identity) == 0 then freed = freed + #fields.m end
    bury_entry(dead, identity, fields, {reason = ARGV[at + 3], error = ARGV[at + 4],
      message = ARGV[at + 5], traceback = ARGV[at + 6], at = now_ms})
  end
  at = at + 7
end

close_months(months)
if freed > 0 then
  local left = redis.call('DECRBY', KEYS[8], freed)
  -- Where nothing waits there are no bytes, whatever another program wrote into the lanes or took out of them.
  if left < 0 or (left > 0 and redis.call('SCARD', queued) == redis.call('XLEN', dead)) then
    redis.call('DEL', KEYS[8])
  end
end
return ignored
