-- leave     end the lease of some of a claim's jobs
-- keys      CLAIM LEASES LEASED

-- Each of these ids must be the claim's, and stand here once.
local function leave(claim, ids)
  redis.call('HDEL', LEASED, unpack(ids))
  if #ids == redis.call('LLEN', CLAIM .. claim) then
    redis.call('DEL', CLAIM .. claim)
    redis.call('ZREM', LEASES, claim)
  else
    for _, id in ipairs(ids) do redis.call('LREM', CLAIM .. claim, 1, id) end
  end
end

-- The deaths of a job are kept as lines, one for each, that say how its worker died.
local function count_deaths(lines)
  return lines and select(2, string.gsub(lines, '\n', '')) + 1 or 0
end

-- The jobs of a claim in the order in which they were taken, as {id, queue}.
local function in_order(claim)
  local jobs, ids = {}, redis.call('LRANGE', CLAIM .. claim, 0, -1)
  if #ids == 0 then return jobs end
  for i, where in ipairs(redis.call('HMGET', LEASED, unpack(ids))) do
    -- What somebody else took out of `leased` has no queue any more that it could go back to.
    if where then jobs[#jobs + 1] = {id = ids[i], queue = string.match(where, ' (.*)$')} end
  end
  return jobs
end
