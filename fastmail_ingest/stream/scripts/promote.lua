-- Purpose: move failed mails whose time has come back into the `again` lane.
-- KEYS:    1 again  2 delayed  3 delayed:body
-- ARGV:    1 now (ms)  2 most to move in this call
-- Returns: number moved

local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, identity in ipairs(due) do
  local packed = redis.call('HGET', KEYS[3], identity)
  -- Removing comes first: a Redis without memory refuses a script that begins with adding.
  redis.call('ZREM', KEYS[2], identity)
  redis.call('HDEL', KEYS[3], identity)
  if packed then
    local fields = cmsgpack.unpack(packed)
    redis.call('XADD', KEYS[1], '*', 'm', fields.m or '', 'f', fields.f or '0', 'r', fields.r or '0',
      'k', fields.k or '0')
  end
end
return #due
