-- Purpose: make the books agree again after somebody removed keys or entries by hand, or a restore. A mail
--          that is queued but nowhere to be found is forgotten, and its mailbox's cursor goes back so that it
--          is fetched again; an entry that nobody knew of is written into the books; of two entries of one
--          mail, or one of a mail that is done, the mail needs none more.
-- USES:    ledger entry
-- KEYS:    1 again  2 live  3 backfill  4 queued  5 delayed  6 delayed:body  7 dead  8 bytes  9.. all cursors
-- ARGV:    1 beginning of the cursors' names  2 done  3 keep (days)  4 month TTL (s)
-- Returns: {number forgotten, number taken in, names of up to 10 of the forgotten,
--           number of superfluous entries removed}

local CHUNK = 100
local months = open_months(ARGV[2], tonumber(ARGV[3]), ARGV[4])
local present, bytes, unknown, stray, removed = {}, 0, {}, {}, 0

-- Call `see(id, fields)` for every entry of a stream.
local function each_entry(stream, see)
  local from = '-'
  repeat
    local chunk = redis.call('XRANGE', stream, from, '+', 'COUNT', CHUNK)
    for _, entry in ipairs(chunk) do
      local fields, flat = {}, entry[2]
      for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
      see(entry[1], fields)
    end
    if #chunk > 0 then from = '(' .. chunk[#chunk][1] end
  until #chunk < CHUNK
end

-- Note where a mail is; false if that is one place too many.
local function note(identity)
  if present[identity] or is_done(months, identity) then return false end
  present[identity] = true
  if redis.call('SISMEMBER', KEYS[4], identity) == 0 then unknown[#unknown + 1] = identity end
  return true
end

for lane = 1, 3 do
  each_entry(KEYS[lane], function(id, fields)
    local identity = identity_of(fields.m or '')
    if identity == '' then return end  -- a worker makes a dead letter of it
    if note(identity) then
      bytes = bytes + #fields.m
    else
      -- Whoever has it in hand finds that it no longer is his.
      redis.call('XDEL', KEYS[lane], id)
      removed = removed + 1
    end
  end)
end

local lost_bodies = {}
for _, identity in ipairs(redis.call('HKEYS', KEYS[6])) do
  local fields = unpack_body(redis.call('HGET', KEYS[6], identity))
  if fields and note(identity) then
    bytes = bytes + #fields.m
    if not redis.call('ZSCORE', KEYS[5], identity) then stray[#stray + 1] = identity end
  else
    lost_bodies[#lost_bodies + 1] = identity
    if fields then removed = removed + 1 end
  end
end
for _, identity in ipairs(lost_bodies) do redis.call('HDEL', KEYS[6], identity) end
for _, identity in ipairs(redis.call('ZRANGE', KEYS[5], 0, -1)) do
  if redis.call('HEXISTS', KEYS[6], identity) == 0 then redis.call('ZREM', KEYS[5], identity) end
end

-- Nothing leaves the dead letters but by an operator's hand: what is there too often gets a name of its own.
local namesakes = {}
each_entry(KEYS[7], function(id, fields)
  local identity = fields.id or ''
  if identity == '' then identity = 'foreign:' .. id end
  if not note(identity) then namesakes[#namesakes + 1] = id end
end)
for _, id in ipairs(namesakes) do
  local fields = read_entry(KEYS[7], id)
  redis.call('XDEL', KEYS[7], id)
  local name = foreign_name(KEYS[4], id)
  bury_entry(KEYS[7], name, fields, {reason = fields.reason or '', error = fields.error or '',
    message = fields.message or '', traceback = fields.traceback or '', at = fields.at or now_ms})
  note(name)
  redis.call('SADD', KEYS[4], name)
end

local function rewind(identity)
  local folder, validity, uid = string.match(identity, '^(.+):(%d+):(%d+)$')
  if folder then
    local cursor = ARGV[1] .. folder
    local known = redis.call('HMGET', cursor, 'uid_validity', 'last_uid')
    if known[1] == validity and tonumber(known[2] or 0) >= tonumber(uid) then
      redis.call('HSET', cursor, 'last_uid', string.format('%d', math.max(tonumber(uid) - 1, 0)))
    end
    return
  end
  -- Its name does not tell where it is: all of the account's mailboxes are read again, or all of its archives.
  local account = ARGV[1] .. (string.match(identity, '^([^:]+):') or '') .. ':'
  if string.find(identity, '^[^:]+:import:') then account = account .. 'import:' end
  for at = 9, #KEYS do
    if string.sub(KEYS[at], 1, #account) == account then redis.call('HSET', KEYS[at], 'last_uid', '0') end
  end
end

local forgotten, names = 0, {}
for _, identity in ipairs(redis.call('SMEMBERS', KEYS[4])) do
  if not present[identity] then
    redis.call('SREM', KEYS[4], identity)
    -- One that is done, too, was in the books twice.
    if not is_done(months, identity) then
      rewind(identity)
      -- Its content was seen, and must not make its next coming look like that of a mail filed twice.
      add_digest(months[1], digest_of(identity), LOST)
      forgotten = forgotten + 1
      if #names < 10 then names[#names + 1] = identity end
    end
  end
end
for _, identity in ipairs(unknown) do redis.call('SADD', KEYS[4], identity) end
for _, identity in ipairs(stray) do redis.call('ZADD', KEYS[5], 0, identity) end
close_months(months)
redis.call('SET', KEYS[8], bytes)
return {forgotten, #unknown + #stray, names, removed}
