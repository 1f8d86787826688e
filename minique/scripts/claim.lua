-- claim     queued → leased, up to `limit` jobs of the most urgent queues that a subscription serves
-- uses      put leave state over
-- keys      LEASES LEASED CLAIM FAILURE_COUNTS DEATHS
-- limits    CLAIM_LIMIT GHOSTS_AT_ONCE
-- args      now claim subscription limit lease_seconds
-- returns   seconds of lease left as text, then lists of queue, failures, deaths, and the id and record of each job that has these; empty when none is ready

limit = math.min(tonumber(limit), CLAIM_LIMIT)
local deadline = string.format('%.6f', now_seconds + tonumber(lease_seconds))
local reply = {lease_seconds}

-- Most jobs come from one queue and never went back, so that this is said once for all of them.
local list = {}
local function tell(id, queue, failures, deaths, record)
  failures, deaths = failures or '0', count_deaths(deaths)
  if list[1] ~= queue or list[2] ~= failures or list[3] ~= deaths then
    list = {queue, failures, deaths}
    reply[#reply + 1] = list
  end
  local n = #list
  list[n + 1], list[n + 2] = id, record or ''
end

-- The same name asked again: the reply was lost. The same jobs are the answer.
local again = in_order(claim)
if #again > 0 then
  for _, job in ipairs(again) do
    local record = redis.pcall('GET', JOB .. job.id)
    tell(job.id, job.queue, redis.call('HGET', FAILURE_COUNTS, job.id), redis.call('HGET', DEATHS, job.id),
         type(record) == 'string' and record)
  end
  redis.call('ZADD', LEASES, deadline, claim)
  return reply
end

local terms, excluded = read_subscription(subscription)

-- The ready queues that the subscription serves, the most urgent first, each once.
local function ready_queues()
  return coroutine.wrap(function()
    local seen = {}
    for _, term in ipairs(terms) do
      local is_pattern, first, names = string.sub(term, -1) == '*', 0
      repeat
        names = is_pattern and redis.call('ZRANGE', READY, first, first + 19)
            or {redis.call('ZSCORE', READY, term) and term or nil}
        for _, name in ipairs(names) do
          if not seen[name] and matches(term, name) and not any_matches(excluded, name) then
            seen[name] = true
            coroutine.yield(name)
          end
        end
        first = first + 20
      until #names < 20
    end
  end)
end

-- What a key says of each of these ids; mostly there is no such key, and then nothing need be asked of it.
local is_there = {}
local function told(command, key, ids)
  is_there[key] = is_there[key] or redis.call('EXISTS', key)
  return is_there[key] == 1 and redis.call(command, key, unpack(ids)) or {}
end

-- First decide: what to take, and how much of each list it is. Nothing is written before everything was read.
local taken, holders, expired, seen_ids, visits, closed = {}, {}, {}, {}, {}, false
for queue in ready_queues() do
  if #taken >= limit or closed then break end
  local passed, length, holder = 0, nil, claim .. ' ' .. queue
  while #taken < limit and not closed and passed < GHOSTS_AT_ONCE do
    local asked = math.min(limit - #taken, GHOSTS_AT_ONCE - passed)
    local ids = redis.call('LRANGE', QUEUE .. queue, passed, passed + asked - 1)
    if #ids < asked then length = passed + #ids end
    if #ids == 0 then break end
    local names = {}
    for i = 1, #ids do names[i] = JOB .. ids[i] end
    local records = redis.call('MGET', unpack(names))
    local leased, delayed, failed = told('HMGET', LEASED, ids), told('ZMSCORE', DELAYED, ids), told('ZMSCORE', FAILED, ids)
    local failures, deaths = told('HMGET', FAILURE_COUNTS, ids), told('HMGET', DEATHS, ids)
    for i, id in ipairs(ids) do
      -- A record of a wrong type reads as missing; it is a job all the same, and goes to failed by way of a worker.
      local record = records[i] or (redis.call('EXISTS', names[i]) == 1 and '')
      local is_queued = record and not is_over(record)
          and not leased[i] and not delayed[i] and not failed[i] and not seen_ids[id]
      local expires = is_queued and tonumber((terms_of(record)))
      if expires and expires < now_seconds then
        is_queued = false
        expired[#expired + 1] = id
      end
      -- One that saw its worker die is taken alone, so that it takes no neighbours with it.
      closed = is_queued and deaths[i] and #taken > 0
      if closed then break end
      passed = passed + 1
      if is_queued then
        seen_ids[id] = true
        taken[#taken + 1] = id
        holders[#holders + 1], holders[#holders + 2] = id, holder
        tell(id, queue, failures[i], deaths[i], record)
        closed = deaths[i]
        if closed then break end
      end
    end
  end
  visits[#visits + 1] = {queue = queue, passed = passed, length = length or redis.call('LLEN', QUEUE .. queue)}
end

-- Then write. The lease first: a server whose memory is full refuses a script at its first write if that takes memory,
-- and lets it run to the end otherwise. So what it cannot keep is never taken off a list.
if #taken > 0 then
  redis.call('ZADD', LEASES, deadline, claim)
  redis.call('RPUSH', CLAIM .. claim, unpack(taken))
  redis.call('HSET', LEASED, unpack(holders))
end
for _, visit in ipairs(visits) do
  if visit.passed > 0 then redis.call('LTRIM', QUEUE .. visit.queue, visit.passed, -1) end
  if visit.passed > 0 or visit.length == 0 then
    redis.call('ZREM', READY, visit.queue)
    if visit.passed < visit.length then make_ready(visit.queue) end
  end
end
for _, id in ipairs(expired) do remove(id, 'expire') end
if #visits > 0 and ready_queues()() then ring(subscription) end
return #taken > 0 and reply or {}
