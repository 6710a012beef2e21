-- Purpose: give dead letters to the handler once more, by an operator's wish.
-- USES:    entry
-- KEYS:    1 again  2 dead  3 bytes
-- ARGV:    ids of dead letters
-- Returns: number replayed; letters that are gone meanwhile or hold no mail of ours are left out

local replayed = 0
for _, id in ipairs(ARGV) do
  local fields = read_entry(KEYS[2], id)
  local identity = fields and identity_of(fields.m) or ''
  -- Without an identity of its own it would become another dead letter under another name; and one that
  -- `reconcile` gave another name is somewhere else, or done.
  if identity ~= '' and fields.id == identity then
    -- Removing comes first: a Redis without memory refuses a script that begins with adding.
    redis.call('XDEL', KEYS[2], id)
    local calls = tonumber(fields.f or '0') + tonumber(fields.r or '0')
    fields.r, fields.f = tostring(math.max(calls, 1)), '0'
    -- Who killed a worker before is handled alone, see the decision about suspects.
    fields.k = tonumber(fields.k or '0') > 0 and '1' or '0'
    fields.p = tostring(tonumber(fields.p or '0') + 1)
    add_again(KEYS[1], fields)
    redis.call('INCRBY', KEYS[3], #fields.m)
    replayed = replayed + 1
  end
end
return replayed
