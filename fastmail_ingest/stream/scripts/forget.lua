-- Purpose: remove memory of handled mails, and note until when mails may be forgotten, atomically: an audit
--          must not take what was forgotten for lost.
-- KEYS:    1 forgotten  2.. keys of the memory
-- ARGV:    1 time until which handled mails are forgotten (ms)
-- Returns: number of keys removed

-- Removing comes first: a Redis without memory refuses a script that begins with adding.
local removed = redis.call('UNLINK', unpack(KEYS, 2))
if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return removed
