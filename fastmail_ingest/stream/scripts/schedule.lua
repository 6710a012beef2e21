-- Purpose: show what waits for a retry, without the mails.
-- KEYS:    1 delayed  2 delayed:body
-- ARGV:    1 due time to begin with (ms)  2 how many of that time were shown before  3 most to show
--          4 bytes of bodies after which the call ends
-- Returns: {now (ms), {identity, due (ms), failures, returns, deaths, replays, last error, bytes}, ...}

local clock = redis.call('TIME')
local now_ms = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local found = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', ARGV[2], ARGV[3])
local shown, read = {string.format('%.0f', now_ms)}, 0

for i = 1, #found, 2 do
  if read > tonumber(ARGV[4]) then break end
  local packed = redis.call('HGET', KEYS[2], found[i]) or ''
  read = read + #packed
  local ok, fields = pcall(cmsgpack.unpack, packed)
  if not ok or type(fields) ~= 'table' then fields = {} end
  shown[#shown + 1] = {found[i], found[i + 1], fields.f or '0', fields.r or '0', fields.k or '0',
    fields.p or '0', fields.e or '', #(fields.m or '')}
end
return shown
