-- Purpose: move failed mails whose time has come back into the `again` lane.
-- KEYS:    1 again  2 delayed  3 delayed:body
-- ARGV:    1 now (ms)  2 most to move in this call
-- Returns: {moved, due time (ms) of the next one as a string, or "" if none waits}

local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, identity in ipairs(due) do
  local packed = redis.call('HGET', KEYS[3], identity)
  if packed then
    local fields = cmsgpack.unpack(packed)
    redis.call('XADD', KEYS[1], '*', 'm', fields.m or '', 'f', fields.f or '0', 'r', fields.r or '0',
      'k', fields.k or '0')
  end
  redis.call('ZREM', KEYS[2], identity)
  redis.call('HDEL', KEYS[3], identity)
end
local next_due = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
return {#due, next_due[2] or ''}
