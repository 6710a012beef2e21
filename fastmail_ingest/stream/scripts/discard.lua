-- Purpose: remove dead letters, by an operator's wish. Their mails count as done: they do not come again.
-- USES:    ledger entry
-- KEYS:    1 queued  2 dead  3 done
-- ARGV:    1 keep (days)  2 month TTL (s)  3.. ids of dead letters
-- Returns: number removed

local months = open_months(KEYS[3], tonumber(ARGV[1]), ARGV[2])
local finished, removed = {}, 0
for at = 3, #ARGV do
  local fields = read_entry(KEYS[2], ARGV[at])
  if fields then
    redis.call('XDEL', KEYS[2], ARGV[at])
    removed = removed + 1
    local identity = fields.id or ''
    if identity == '' then identity = 'foreign:' .. ARGV[at] end
    redis.call('SREM', KEYS[1], identity)
    -- An entry of another program is no mail that could come again.
    if not string.match(identity, '^foreign:%d+%-%d+$') then finished[#finished + 1] = identity end
  end
end
remember(months[1], finished)
close_months(months)
return removed
