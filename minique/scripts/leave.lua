-- leave     end the lease of some of a claim's jobs
-- keys      CLAIM LEASES LEASED

local function leave(claim, ids)
  redis.call('HDEL', CLAIM .. claim, unpack(ids))
  redis.call('HDEL', LEASED, unpack(ids))
  if redis.call('EXISTS', CLAIM .. claim) == 0 then
    redis.call('ZREM', LEASES, claim)
  end
end

-- The deaths of a job are kept as lines, one for each, that say how its worker died.
local function count_deaths(lines)
  return lines and select(2, string.gsub(lines, '\n', '')) + 1 or 0
end

-- The jobs of a claim in the order in which they were taken, as {id, queue}. The order is stored, not assumed: a hash
-- keeps the order of insertion only while it is small.
local function in_order(claim)
  local flat, jobs = redis.call('HGETALL', CLAIM .. claim), {}
  for i = 1, #flat, 2 do
    jobs[#jobs + 1] = {id = flat[i], queue = string.sub(flat[i + 1], 3), place = string.sub(flat[i + 1], 1, 2)}
  end
  table.sort(jobs, function(a, b) return a.place < b.place end)
  return jobs
end
