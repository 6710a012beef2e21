-- Purpose: say what the ledger knows of some mails.
-- USES:    ledger
-- KEYS:    1 queued  2 done
-- ARGV:    1 keep (days)  2.. identities
-- Returns: for each identity 0 (unknown), 1 (queued), 2 (done), 3 (both: must never be)

local months = open_months(KEYS[2], tonumber(ARGV[1]), 0)
local states = {}
for at = 2, #ARGV do
  local queued = redis.call('SISMEMBER', KEYS[1], ARGV[at])
  states[#states + 1] = queued + (is_done(months, ARGV[at]) and 2 or 0)
end
return states
