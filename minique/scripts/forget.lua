-- forget    done → (gone), those whose lifetime has passed
-- keys      JOB DONE LIFETIMES
-- args      now limit
-- returns   how many were forgotten (more than `limit` by part of one entry at most); as many or more: call again

local forgotten = 0
local lifetimes = redis.call('SMEMBERS', LIFETIMES)
table.sort(lifetimes, function(a, b) return tonumber(a) < tonumber(b) end)
for _, lifetime in ipairs(lifetimes) do
  while forgotten < tonumber(limit) do
    local entry = redis.call('LINDEX', DONE .. lifetime, 0)
    if not entry then
      redis.call('SREM', LIFETIMES, lifetime)
      break
    end
    local since, rest = string.match(entry, '^(%S+) (.*)$')
    if tonumber(since) + tonumber(lifetime) > now_seconds then break end
    redis.call('LPOP', DONE .. lifetime)
    for id in string.gmatch(rest, '%S+') do
      redis.call('DEL', JOB .. id)
      forgotten = forgotten + 1
    end
  end
end
return forgotten
