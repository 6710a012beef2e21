-- Purpose: make the books agree again after somebody removed keys or entries by hand, or a restore. A mail
--          that is queued but nowhere to be found is forgotten, and its mailbox's cursor goes back so that it
--          is fetched again; an entry that nobody knew of is written into the books.
-- USES:    entry
-- KEYS:    1 again  2 live  3 backfill  4 queued  5 delayed  6 delayed:body  7 dead  8 bytes  9.. all cursors
-- ARGV:    1 beginning of the cursors' names
-- Returns: {number forgotten, number taken in, names of up to 10 of the forgotten}

local CHUNK = 100
local present, bytes, unknown, nameless = {}, 0, {}, {}

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

local function note(identity)
  present[identity] = true
  if redis.call('SISMEMBER', KEYS[4], identity) == 0 then unknown[#unknown + 1] = identity end
end

for lane = 1, 3 do
  each_entry(KEYS[lane], function(_, fields)
    local identity = identity_of(fields.m or '')
    if identity ~= '' then
      note(identity)
      bytes = bytes + #fields.m
    end
  end)
end
each_entry(KEYS[7], function(_, fields) if fields.id and fields.id ~= '' then note(fields.id) end end)
for _, identity in ipairs(redis.call('HKEYS', KEYS[6])) do
  note(identity)
  bytes = bytes + #(cmsgpack.unpack(redis.call('HGET', KEYS[6], identity)).m or '')
  if not redis.call('ZSCORE', KEYS[5], identity) then nameless[#nameless + 1] = identity end
end

local function rewind(identity)
  local folder, validity, uid = string.match(identity, '^(.+):(%d+):(%d+)$')
  if folder then
    local cursor = ARGV[1] .. folder
    local known = redis.call('HMGET', cursor, 'uid_validity', 'last_uid')
    if known[1] == validity and tonumber(known[2]) >= tonumber(uid) then
      redis.call('HSET', cursor, 'last_uid', string.format('%d', tonumber(uid) - 1))
    end
    return
  end
  -- Its name does not tell where it is: all of the account's mailboxes are read again.
  local account = ARGV[1] .. (string.match(identity, '^([^:]+):') or '') .. ':'
  for at = 9, #KEYS do
    if string.sub(KEYS[at], 1, #account) == account then redis.call('HSET', KEYS[at], 'last_uid', '0') end
  end
end

local forgotten, names = 0, {}
for _, identity in ipairs(redis.call('SMEMBERS', KEYS[4])) do
  if not present[identity] then
    redis.call('SREM', KEYS[4], identity)
    redis.call('ZREM', KEYS[5], identity)
    rewind(identity)
    forgotten = forgotten + 1
    if #names < 10 then names[#names + 1] = identity end
  end
end
for _, identity in ipairs(unknown) do redis.call('SADD', KEYS[4], identity) end
for _, identity in ipairs(nameless) do redis.call('ZADD', KEYS[5], 0, identity) end
redis.call('SET', KEYS[8], bytes)
return {forgotten, #unknown + #nameless, names}
