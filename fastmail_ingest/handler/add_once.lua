-- Purpose: add a mail to a stream unless it was added before; a full stream takes none.
-- KEYS:    1 the stream, 2 the mark of this mail
-- ARGV:    1 most entries (0: any), 2 seconds for which the mark is kept, then fields and values
-- Returns: 1 added, 0 was there before, -1 the stream is full

if redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
local most = tonumber(ARGV[1])
if most > 0 and redis.call('XLEN', KEYS[1]) >= most then
  return -1
end
redis.call('XADD', KEYS[1], '*', unpack(ARGV, 3))
redis.call('SET', KEYS[2], '', 'EX', ARGV[2])
return 1
