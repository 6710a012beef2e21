-- Purpose: move failed mails whose time has come back into the `again` lane.
-- USES:    entry
-- KEYS:    1 again  2 delayed  3 delayed:body
-- ARGV:    1 most to move in this call  2.. identities to move whether or not their time has come
-- Returns: number of mails looked at; with identities the number moved

local clock = redis.call('TIME')
local now_ms = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local due, moved = {}, 0
for i = 2, #ARGV do due[#due + 1] = ARGV[i] end
if #due == 0 then due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now_ms, 'LIMIT', 0, ARGV[1]) end

for _, identity in ipairs(due) do
  local packed = redis.call('HGET', KEYS[3], identity)
  -- Removing comes first: a Redis without memory refuses a script that begins with adding.
  redis.call('ZREM', KEYS[2], identity)
  redis.call('HDEL', KEYS[3], identity)
  -- A body that is gone or was damaged by hand leaves the mail in `queued` only: it is fetched again.
  local fields = unpack_body(packed)
  if fields then
    add_again(KEYS[1], fields)
    moved = moved + 1
  end
end
return ARGV[2] and moved or #due
