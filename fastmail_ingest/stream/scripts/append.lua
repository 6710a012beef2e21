-- Purpose: take fetched mails into a lane, once each, and move the mailbox's cursor, atomically.
--          Sending it twice changes nothing the second time. The cursor moves only from where the sender
--          believes it to be: whoever was overtaken, rewound or restored must look again.
-- USES:    ledger
-- KEYS:    1 lane  2 queued  3 cursor  4 dead  5 bytes  6 done
-- ARGV:    1 keep (days)  2 month TTL (s)  3 "1" to recognise mails by content in their own mailbox, too
--          (UIDVALIDITY changed), else "0"  4 tag of the mailbox
--          5 uid_validity (0: leave the cursor alone)  6 last_uid  7 match_until, all after this call
--          8 uid_validity  9 last_uid, as the sender believes them to be before it
--          10 uid_validity (0: as it was)  11 last_uid  12 reread_until where the mailbox begins (start = "now")
--          13.. triples of (identity, content digest, payload)
-- Returns: {number appended, number of mails queued that are no dead letters, their bytes,
--           1 if the cursor is where it should be, else 0}

local lane, queued, cursor = KEYS[1], KEYS[2], KEYS[3]
local months = open_months(KEYS[6], tonumber(ARGV[1]), ARGV[2])
local by_content, tag = ARGV[3] == '1', ARGV[4]
local appended, bytes, renamed = 0, 0, {}

-- The same bytes in another mailbox are the same mail, filed twice. In its own mailbox they are two mails,
-- unless the mailbox is being read anew. Of a mail that was lost from the stream, only the content is known.
local function seen_before(identity, content)
  local where = find_digest(months, content)
  return where and (by_content or where ~= tag) and not is_lost(months, identity)
end

for at = 13, #ARGV, 3 do
  local identity, content, payload = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if redis.call('SISMEMBER', queued, identity) == 0 and not is_done(months, identity) then
    if seen_before(identity, content) then
      -- The same mail under a new name: remember the new name, so that it is known from now on.
      renamed[#renamed + 1] = identity
    else
      redis.call('SADD', queued, identity)
      redis.call('XADD', lane, '*', 'm', payload)
      add_digest(months[1], content, tag)
      appended, bytes = appended + 1, bytes + #payload
    end
  end
end

if #renamed > 0 then remember(months[1], renamed) end
if bytes > 0 then redis.call('INCRBY', KEYS[5], bytes) end
close_months(months)

local in_place = 1
if ARGV[5] ~= '0' then
  local known = redis.call('HMGET', cursor, 'uid_validity', 'last_uid')
  local validity, last_uid = known[1] or '0', known[2] or '0'
  local as_believed = validity == ARGV[8] and last_uid == ARGV[9]
  local moved_before = validity == ARGV[5] and last_uid == ARGV[6]
  if as_believed or moved_before then
    redis.call('HSET', cursor, 'uid_validity', ARGV[5], 'last_uid', ARGV[6], 'match_until', ARGV[7],
      'last_poll', now_ms)
    redis.call('HSETNX', cursor, 'since', now_ms)
    if ARGV[10] ~= '0' then
      redis.call('HSET', cursor, 'began_in', ARGV[10], 'began_at', ARGV[11], 'began_reread', ARGV[12])
    end
    if appended > 0 then redis.call('HINCRBY', cursor, 'count', appended) end
  else
    in_place = 0
  end
end

local waiting = redis.call('SCARD', queued) - redis.call('XLEN', KEYS[4])
return {appended, waiting, tonumber(redis.call('GET', KEYS[5]) or 0), in_place}
