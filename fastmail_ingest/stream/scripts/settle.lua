-- Purpose: write down what became of a batch: done, to be tried again, or dead; all of it or nothing.
--          An entry that is no longer in its lane was put back and belongs to somebody else by now:
--          whatever is said about it is ignored. So the entry id is the fence against late writers.
-- KEYS:    1 again  2 live  3 backfill  4 queued  5 done of this month  6 delayed  7 delayed:body  8 dead
-- ARGV:    1 group  2 month TTL (s)  3 now (ms)
--          then for each lane (again, live, backfill): n, n entry ids, n identities   -- done
--          then n, and n times: lane (1-3), entry id, identity, due (ms)              -- delayed
--          then n, and n times: lane (1-3), entry id, identity, reason, error type,
--                               message, traceback                                    -- dead
-- Returns: number of entries ignored because they were no longer ours

local group, at, ignored, finished = ARGV[1], 4, 0, false
local queued, done, delayed, body, dead = KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]

local function forget(identity)
  redis.call('SREM', queued, identity)
  redis.call('SADD', done, identity)
  finished = true
end

local function settle_done(lane, first, count)
  local ids_last = first + count - 1
  local acked = redis.call('XACK', lane, group, unpack(ARGV, first, ids_last))
  if acked == count then
    redis.call('XDEL', lane, unpack(ARGV, first, ids_last))
    redis.call('SREM', queued, unpack(ARGV, first + count, ids_last + count))
    redis.call('SADD', done, unpack(ARGV, first + count, ids_last + count))
    finished = true
    return
  end
  for i = first, ids_last do
    if redis.call('XDEL', lane, ARGV[i]) == 1 then forget(ARGV[i + count]) else ignored = ignored + 1 end
  end
end

-- Fields of an entry as a table, or nil if it is gone.
local function take(lane, id)
  local found = redis.call('XRANGE', lane, id, id)
  redis.call('XACK', lane, group, id)
  if not found[1] then
    ignored = ignored + 1
    return nil
  end
  redis.call('XDEL', lane, id)
  local fields, flat = {}, found[1][2]
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

for lane = 1, 3 do
  local count = tonumber(ARGV[at])
  if count > 0 then settle_done(KEYS[lane], at + 1, count) end
  at = at + 1 + 2 * count
end

local count = tonumber(ARGV[at])
at = at + 1
for _ = 1, count do
  local fields = take(KEYS[tonumber(ARGV[at])], ARGV[at + 1])
  if fields then
    fields.f = tostring(tonumber(fields.f or '0') + 1)
    redis.call('ZADD', delayed, ARGV[at + 3], ARGV[at + 2])
    redis.call('HSET', body, ARGV[at + 2], cmsgpack.pack(fields))
  end
  at = at + 4
end

count = tonumber(ARGV[at])
at = at + 1
for _ = 1, count do
  local fields = take(KEYS[tonumber(ARGV[at])], ARGV[at + 1])
  if fields then
    redis.call('XADD', dead, '*', 'm', fields.m or '', 'id', ARGV[at + 2], 'reason', ARGV[at + 3],
      'error', ARGV[at + 4], 'message', ARGV[at + 5], 'traceback', ARGV[at + 6],
      'f', fields.f or '0', 'r', fields.r or '0', 'k', fields.k or '0', 'at', ARGV[3])
  end
  at = at + 7
end

if finished then redis.call('EXPIRE', done, ARGV[2]) end
return ignored
