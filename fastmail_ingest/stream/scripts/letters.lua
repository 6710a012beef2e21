-- Purpose: show dead letters without carrying their mails about: of each mail only the beginning is kept.
-- KEYS:    1 dead
-- ARGV:    1 first id  2 last id, in the order of reading; "(" in front excludes one  3 "1" to read backwards
--          4 most letters  5 bytes of mails after which the call ends  6 bytes to keep of each mail, at most 65535
-- Returns: for each letter {id, bytes of its payload, {field, value, ...} with the payload cut so that it
--          still can be decoded, {field, value, ...} of a foreign entry}

local command = ARGV[3] == '1' and 'XREVRANGE' or 'XRANGE'
local KEEP, VALUES_BEFORE_MAIL = tonumber(ARGV[6]), 14
local KEEP_FIELD = math.max(KEEP, 8192)
local RAW_WIDTHS = {[0xc4] = 1, [0xc5] = 2, [0xc6] = 4}

-- Where the next value begins. Redis' cmsgpack knows no binary type: those are stepped over by hand.
local function step(payload, at)
  local kind = string.byte(payload, at + 1)
  local width = RAW_WIDTHS[kind]
  if width then return at + 1 + width + struct.unpack('>I' .. width, payload, at + 2) end
  return (cmsgpack.unpack_one(payload, at))
end

-- The payload with only the beginning of the mail in it; see Envelope: the mail is its 15th value.
local function shortened(payload)
  local ok, cut = pcall(function()
    local at = string.byte(payload) == 0xdc and 3 or 1
    for _ = 1, VALUES_BEFORE_MAIL do at = step(payload, at) end
    local width = RAW_WIDTHS[string.byte(payload, at + 1)]
    local first, after = at + 2 + width, step(payload, at) + 1
    if after - first <= KEEP then return payload end
    local head = string.sub(payload, 1, at) .. string.char(0xc5) .. struct.pack('>I2', KEEP)
    return head .. string.sub(payload, first, first + KEEP - 1) .. string.sub(payload, after)
  end)
  return ok and cut or string.sub(payload, 1, KEEP_FIELD)
end

local function foreign_fields(packed)
  local ok, flat = pcall(cmsgpack.unpack, packed)
  if not ok or type(flat) ~= 'table' then return {} end
  for i = 1, #flat do flat[i] = string.sub(tostring(flat[i]), 1, KEEP_FIELD) end
  return flat
end

local letters, read, from = {}, 0, ARGV[1]
while #letters < tonumber(ARGV[4]) and read < tonumber(ARGV[5]) do
  -- One at a time: each may be as large as a mail can be.
  local found = redis.call(command, KEYS[1], from, ARGV[2], 'COUNT', 1)[1]
  if not found then break end
  local flat, size, foreign, shown = found[2], 0, {}, {}
  for i = 1, #flat, 2 do
    local name, value = flat[i], flat[i + 1]
    read = read + #value
    if name == 'm' then
      size, value = #value, shortened(value)
    elseif name == 'x' then
      foreign, value = foreign_fields(value), ''
    end
    shown[#shown + 1] = name
    shown[#shown + 1] = name == 'm' and value or string.sub(value, 1, KEEP_FIELD)
  end
  letters[#letters + 1] = {found[1], size, shown, foreign}
  from = '(' .. found[1]
end
return letters
