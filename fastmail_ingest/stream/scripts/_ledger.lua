-- Purpose: the memory of handled mails, put in front of the scripts that say "USES: ledger" in their head.
--          Both of its forms are exact, and small because Redis packs small collections into one block:
--          * a mail named by its place (account:mailbox:uidvalidity:uid) is a small integer in a set of up
--            to SPAN of its folder (intset): about 3 bytes a mail;
--          * any other name, and the content of a mail, is a digest of DIGEST bytes in small hashes
--            (listpack): about 20 bytes each. There are as many hashes as it takes to keep each at about
--            LOAD digests: one is split whenever the load is reached (linear hashing, W. Litwin 1980).
--          Months are those of Redis' own clock: no host's clock can lose or double anything.
-- KEYS:    none of its own: all names begin with the `done` key that the caller passes
-- ARGV:    none of its own
-- Returns: nothing; defines locals

local SPAN, LOAD, DIGEST, DAY_S = 512, 80, 12, 86400
local LOST = '?'  -- the value of a mail that was queued and is nowhere in the stream any more, see `reconcile`

local clock = redis.call('TIME')
local now_s = tonumber(clock[1])
local now_ms = now_s * 1000 + math.floor(tonumber(clock[2]) / 1000)

-- Months since year 0 of a time, by the days-to-civil algorithm for the proleptic Gregorian calendar.
local function month_number(seconds)
  local floor = math.floor
  local z = floor(seconds / DAY_S) + 719468
  local era = floor(z / 146097)
  local doe = z - era * 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local mp = floor((5 * (doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))) + 2) / 153)
  return (yoe + era * 400) * 12 + mp + 2  -- mp 0 is March
end

-- The months that are remembered, newest first. Only the newest is ever written to.
local function open_months(base, keep_days, ttl_s)
  local months = {}
  for number = month_number(now_s), month_number(now_s - keep_days * DAY_S), -1 do
    local name = string.format('%s:%04d%02d', base, math.floor(number / 12), number % 12 + 1)
    months[#months + 1] = {name = name, ttl_s = ttl_s, there = {}, done = 0}
  end
  return months
end

local function load_digests(month)
  if month.buckets then return end
  local head = redis.call('HMGET', month.name, 'buckets', 'digests')
  month.buckets, month.digests = tonumber(head[1] or 1), tonumber(head[2] or 0)
end

local function hash_of(digest)
  local a, b, c, d = string.byte(digest, 1, 4)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

-- The largest power of two that is not above the number of buckets.
local function half_of(month)
  local half = month.half or 1
  while half * 2 <= month.buckets do half = half * 2 end
  month.half = half
  return half
end

local function bucket_key(month, digest)
  local half = half_of(month)
  local bucket = hash_of(digest) % (half * 2)
  if bucket >= month.buckets then bucket = bucket - half end
  return month.name .. ':known:' .. bucket
end

-- Give the oldest bucket's digests to itself and one new bucket.
local function split_bucket(month)
  local half = half_of(month)
  local new = month.buckets
  local from, to = month.name .. ':known:' .. (new - half), month.name .. ':known:' .. new
  local flat, moved, gone = redis.call('HGETALL', from), {}, {}
  for i = 1, #flat, 2 do
    if hash_of(flat[i]) % (half * 2) == new then
      moved[#moved + 1], moved[#moved + 2] = flat[i], flat[i + 1]
      gone[#gone + 1] = flat[i]
    end
  end
  if #gone > 0 then
    redis.call('HDEL', from, unpack(gone))
    redis.call('HSET', to, unpack(moved))
    redis.call('EXPIRE', to, month.ttl_s)
  end
  month.buckets = new + 1
end

-- Remember a digest with a short value; false if it was remembered in this month before.
local function add_digest(month, digest, value)
  load_digests(month)
  local key = bucket_key(month, digest)
  if redis.call('HSETNX', key, digest, value) == 0 then
    if value == LOST or redis.call('HGET', key, digest) ~= LOST then return false end
    redis.call('HSET', key, digest, value)
    return true
  end
  if redis.call('HLEN', key) == 1 then redis.call('EXPIRE', key, month.ttl_s) end
  month.digests, month.changed = month.digests + 1, true
  while month.digests > LOAD * month.buckets do split_bucket(month) end
  return true
end

-- The value of a digest in the newest month that knows it, or false.
local function find_digest(months, digest)
  for _, month in ipairs(months) do
    load_digests(month)
    local value = month.digests > 0 and redis.call('HGET', bucket_key(month, digest), digest)
    if value then return value end
  end
  return false
end

-- The first bytes of the SHA-1 of a name, as bytes.
local function digest_of(name)
  local hex = string.sub(redis.sha1hex(name), 1, 2 * DIGEST)
  return (string.gsub(hex, '..', function(pair) return string.char(tonumber(pair, 16)) end))
end

-- Folder with UIDVALIDITY, and UID, of a mail that is named by its place; nil for other names.
local function place_of(identity)
  local place, uid = string.match(identity, '^(.+:%d+):(%d+)$')
  if place and #uid <= 10 then return place, tonumber(uid) end
  return nil
end

local function is_done(months, identity)
  local place, uid = place_of(identity)
  if not place then
    local value = find_digest(months, digest_of(identity))
    return value ~= false and value ~= LOST
  end
  local suffix = ':at:' .. place .. ':' .. math.floor(uid / SPAN)
  for _, month in ipairs(months) do
    local there = month.there[suffix]
    if there == nil then
      there = redis.call('EXISTS', month.name .. suffix) == 1
      month.there[suffix] = there
    end
    if there and redis.call('SISMEMBER', month.name .. suffix, uid % SPAN) == 1 then return true end
  end
  return false
end

local function is_lost(months, identity)
  return find_digest(months, digest_of(identity)) == LOST
end

local function add_places(month, key, numbers)
  local added = redis.call('SADD', key, unpack(numbers))
  month.done = month.done + added
  -- A whole set may be new: its time to live begins then.
  if redis.call('SCARD', key) == added then redis.call('EXPIRE', key, month.ttl_s) end
end

-- Remember that these mails are done; neighbours of one folder go into their set together.
local function remember(month, identities)
  local last_place, last_range, key, numbers = nil, nil, nil, {}
  for _, identity in ipairs(identities) do
    local place, uid = place_of(identity)
    if place then
      local range = math.floor(uid / SPAN)
      if place ~= last_place or range ~= last_range then
        if key then add_places(month, key, numbers) end
        key, numbers = month.name .. ':at:' .. place .. ':' .. range, {}
        last_place, last_range = place, range
        month.there[':at:' .. place .. ':' .. range] = nil
      end
      numbers[#numbers + 1] = uid % SPAN
    elseif add_digest(month, digest_of(identity), '') then
      month.done = month.done + 1
    end
  end
  if key then add_places(month, key, numbers) end
end

-- Write the counts of the newest month; to be called once, last.
local function close_months(months)
  local month = months[1]
  if month.done > 0 then redis.call('HINCRBY', month.name, 'done', month.done) end
  if month.changed then
    redis.call('HSET', month.name, 'buckets', month.buckets, 'digests', month.digests)
  end
  if month.done > 0 or month.changed then redis.call('EXPIRE', month.name, month.ttl_s) end
end
