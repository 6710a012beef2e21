-- Purpose: say whether the ledger knows some mails, by name or by content. One that was lost counts as known:
--          it is to be fetched again.
-- USES:    ledger
-- KEYS:    1 queued  2 done
-- ARGV:    1 keep (days)  2.. pairs of (identity, content digest)
-- Returns: for each pair 1 or 0

local months = open_months(KEYS[2], tonumber(ARGV[1]), 0)
local known = {}
for at = 2, #ARGV, 2 do
  local identity = ARGV[at]
  local found = redis.call('SISMEMBER', KEYS[1], identity) == 1 or is_done(months, identity)
    or is_lost(months, identity) or find_digest(months, ARGV[at + 1])
  known[#known + 1] = found and 1 or 0
end
return known
