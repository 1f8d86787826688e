-- reap      leased → queued (at the head), or failed when it died too often: claims whose lease ran out
-- uses      put leave state over
-- args      now limit deaths_allowed worker why
-- returns   seconds until the next lease runs out as text ('' when none is out), how many went back, then their ids, then those that failed

-- A supervisor that saw its worker die names it, says how, and need not wait for the lease.
local claims = {}
why = string.gsub(why, '[^ -~]+', ' ')
why = string.gsub(why, '["\\]', ' ')
why = why == '' and 'its worker died' or string.sub(why, 1, 200)
if worker == '' then
  why = 'its lease ran out'
  claims = redis.call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, tonumber(limit))
else
  for _, claim in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
    -- WORKER:NUMBER; a worker's own name may hold colons too.
    if string.match(claim, '^(.*):') == worker and #claims < tonumber(limit) then
      claims[#claims + 1] = claim
    end
  end
end

-- The last of the last claim is put back first, so that the first of the first one ends at the head.
local back, failed, ended = {}, {}, {}
for c = #claims, 1, -1 do
  local jobs = in_order(claims[c])
  for j = #jobs, 1, -1 do
    local job = jobs[j]
    local before = redis.call('HGET', DEATHS, job.id)
    job.deaths = (before and before .. '\n' or '') .. why
    if redis.call('EXISTS', JOB .. job.id) == 1 then
      table.insert(count_deaths(job.deaths) >= tonumber(deaths_allowed) and failed or back, job)
    end
  end
  ended[#ended + 1] = {claim = claims[c], jobs = jobs}
end

for _, one in ipairs(ended) do
  local ids = {}
  for i, job in ipairs(one.jobs) do ids[i] = job.id end
  if #ids > 0 then leave(one.claim, ids) else redis.call('ZREM', LEASES, one.claim) end
end
for _, job in ipairs(back) do
  redis.call('HSET', DEATHS, job.id, job.deaths)
  put(job.queue, {job.id}, 'LPUSH')
end
for _, job in ipairs(failed) do
  redis.call('HSET', DEATHS, job.id, job.deaths)
  set_aside(job.id, '\n{"error":"WorkerDied","message":"its worker died, or stopped renewing the lease, '
    .. count_deaths(job.deaths) .. ' times: ' .. string.gsub(job.deaths, '\n', '; ') .. '"}')
end
if #back + #failed > 0 then redis.call('HINCRBY', STATS, 'reap', #back + #failed) end

local first = redis.call('ZRANGE', LEASES, 0, 0, 'WITHSCORES')
local reply = {first[2] and string.format('%.6f', math.max(0, tonumber(first[2]) - now_seconds)) or '', #back}
for _, job in ipairs(back) do reply[#reply + 1] = job.id end
for _, job in ipairs(failed) do reply[#reply + 1] = job.id end
return reply
