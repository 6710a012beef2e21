-- Purpose: tell whether work waits that no worker has been given yet.
-- KEYS:    1 again  2 live  3 backfill
-- ARGV:    1 group
-- Returns: 1 if there is such an entry in any lane, else 0

for lane = 1, 3 do
  if redis.call('EXISTS', KEYS[lane]) == 1 then
    for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[lane])) do
      local group = {}
      for i = 1, #info, 2 do group[info[i]] = info[i + 1] end
      if group.name == ARGV[1] then
        local behind = '(' .. group['last-delivered-id']
        if redis.call('XRANGE', KEYS[lane], behind, '+', 'COUNT', 1)[1] then return 1 end
      end
    end
  end
end
return 0
