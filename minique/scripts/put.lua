-- put       a job back into, or into, its queue, and wake a worker of each subscription that serves it
-- keys      QUEUE QUEUES READY PAUSED SUBSCRIPTIONS BELL

-- The rule of subscription.py: does a term such as `mail`, `file_*` or `*` match a queue's name?
local function matches(term, queue)
  if string.sub(term, -1) ~= '*' then return term == queue end
  return string.sub(queue, 1, #term - 1) == string.sub(term, 1, -2)
end

local function read_subscription(text)
  local terms, excluded = {}, {}
  for part in string.gmatch(text, '[^,]+') do
    local list = string.sub(part, 1, 1) == '!' and excluded or terms
    list[#list + 1] = string.match(part, '^!?(.*)$')
  end
  return terms, excluded
end

local function any_matches(terms, queue)
  for _, term in ipairs(terms) do
    if matches(term, queue) then return true end
  end
  return false
end

local function ring(subscription)
  if redis.call('EXISTS', BELL .. subscription) == 0 then redis.call('RPUSH', BELL .. subscription, '1') end
end

-- The queue takes its turn after those that are ready already, or one that is emptied and filled again and again would
-- always be first.
local function make_ready(queue)
  local last = redis.call('ZRANGE', READY, -1, -1, 'WITHSCORES')
  redis.call('ZADD', READY, (tonumber(last[2]) or 0) + 1, queue)
end

-- One bell for each distinct list of queues, since a worker can only block on a bell of its own kind: with one bell per
-- queue or one for all, a token can be taken by a worker that does not serve the job it was rung for.
local function ring_all_that_serve(queue)
  for _, text in ipairs(redis.call('ZRANGE', SUBSCRIPTIONS, 0, -1)) do
    local terms, excluded = read_subscription(text)
    if any_matches(terms, queue) and not any_matches(excluded, queue) then ring(text) end
  end
end

-- `push` is LPUSH (the head: was there before) or RPUSH (the tail: comes now).
-- A queue that is ready already has had its bell rung, and whoever claimed since has rung again if anything was left.
local function put(queue, ids, push)
  local is_ready = redis.call('ZSCORE', READY, queue)
  local is_paused = not is_ready and redis.call('SISMEMBER', PAUSED, queue) == 1
  for first = 1, #ids, 1000 do
    redis.call(push, QUEUE .. queue, unpack(ids, first, math.min(first + 999, #ids)))
  end
  if not is_ready then
    redis.call('SADD', QUEUES, queue)
    if not is_paused then
      make_ready(queue)
      ring_all_that_serve(queue)
    end
  end
end
