-- Purpose: take fetched mails into a lane, once each, and move the mailbox's cursor, atomically.
--          Sending it twice changes nothing the second time.
-- KEYS:    1 lane  2 queued  3 cursor  4 dead  5.. pairs of (done, seen) for each month kept, newest first
-- ARGV:    1 uid_validity  2 last_uid (cursor afterwards)  3 match_until  4 now (ms)  5 month TTL (s)
--          6 "1" to recognise mails by content (UIDVALIDITY changed), else "0"
--          7.. triples of (identity, content hash, payload)
-- Returns: {number appended, number of mails queued that are no dead letters}

local lane, queued, cursor = KEYS[1], KEYS[2], KEYS[3]
local this_done, this_seen = KEYS[5], KEYS[6]
local by_content = ARGV[6] == '1'
local appended, hashes = 0, {}

local function handled(identity)
  for key = 5, #KEYS, 2 do
    if redis.call('SISMEMBER', KEYS[key], identity) == 1 then return true end
  end
  return false
end

local function content_seen(hash)
  for key = 6, #KEYS, 2 do
    if redis.call('SISMEMBER', KEYS[key], hash) == 1 then return true end
  end
  return false
end

for at = 7, #ARGV, 3 do
  local identity, hash = ARGV[at], ARGV[at + 1]
  if not handled(identity) then
    if by_content and redis.call('SISMEMBER', queued, identity) == 0 and content_seen(hash) then
      -- The same mail under a new name: remember the new name, so that it is known from now on.
      redis.call('SADD', this_done, identity)
      redis.call('EXPIRE', this_done, ARGV[5])
    elseif redis.call('SADD', queued, identity) == 1 then
      redis.call('XADD', lane, '*', 'm', ARGV[at + 2])
      hashes[#hashes + 1] = hash
      appended = appended + 1
    end
  end
end

if appended > 0 then
  redis.call('SADD', this_seen, unpack(hashes))
  redis.call('EXPIRE', this_seen, ARGV[5])
end

-- Only forward: a producer that was slow to die must not take its successor's progress back.
local known = redis.call('HMGET', cursor, 'uid_validity', 'last_uid')
local same_uids = known[1] == ARGV[1]
if not same_uids or tonumber(ARGV[2]) >= tonumber(known[2] or '0') then
  redis.call('HSET', cursor, 'uid_validity', ARGV[1], 'last_uid', ARGV[2], 'match_until', ARGV[3])
end
redis.call('HSET', cursor, 'last_poll', ARGV[4])
if appended > 0 then redis.call('HINCRBY', cursor, 'count', appended) end

return {appended, redis.call('SCARD', queued) - redis.call('XLEN', KEYS[4])}
