-- over      what follows when a job is over: done, failed, or removed on purpose
-- keys      JOB FAILED FAILURES FAILURE_COUNTS DEATHS DONE LIFETIMES WAITERS ANSWER STATS UNIQUE
-- limits    FAILED_LIMIT GONE_LIFETIME_SECONDS ANSWER_LIFETIME_SECONDS

local function tell_waiters(ids)
  if redis.call('EXISTS', WAITERS) == 0 then return end
  for _, id in ipairs(ids) do
    local names = redis.call('HGET', WAITERS, id)
    if names then
      for name in string.gmatch(names, '%S+') do
        if redis.call('EXISTS', ANSWER .. name) == 0 then redis.call('RPUSH', ANSWER .. name, '1') end
        -- Only rubbish is left to a timer: a waiter that died before it was told never comes for its token.
        redis.call('EXPIRE', ANSWER .. name, ANSWER_LIFETIME_SECONDS)
      end
      redis.call('HDEL', WAITERS, id)
    end
  end
end

-- The records of these jobs are kept for a while, then forgotten together.
local function remember(ids, lifetime_seconds)
  redis.call('RPUSH', DONE .. lifetime_seconds, now .. ' ' .. table.concat(ids, ' '))
  redis.call('SADD', LIFETIMES, lifetime_seconds)
end

local function forget_counts(ids)
  redis.call('HDEL', FAILURES, unpack(ids))
  redis.call('HDEL', FAILURE_COUNTS, unpack(ids))
  redis.call('HDEL', DEATHS, unpack(ids))
end

-- Before their records are written over: whoever is over holds its unique key no longer.
local function free_keys(ids)
  if redis.call('EXISTS', UNIQUE) == 0 then return end
  for _, id in ipairs(ids) do
    local _, key = terms_of(read_record(id) or '')
    if key and redis.call('HGET', UNIQUE, key) == id then redis.call('HDEL', UNIQUE, key) end
  end
end

-- To the failed queue; when that is full, the oldest there are dropped and counted.
local function set_aside(id, failure)
  free_keys({id})
  redis.call('ZADD', FAILED, now, id)
  redis.call('HSET', FAILURES, id, failure)
  redis.call('HINCRBY', STATS, 'fail', 1)
  local excess = redis.call('ZCARD', FAILED) - FAILED_LIMIT
  if excess > 0 then
    local oldest = redis.call('ZRANGE', FAILED, 0, excess - 1)
    for _, dropped in ipairs(oldest) do redis.call('DEL', JOB .. dropped) end
    redis.call('ZREM', FAILED, unpack(oldest))
    forget_counts(oldest)
    redis.call('HINCRBY', STATS, 'dropped', #oldest)
  end
  tell_waiters({id})
end

-- A mark stays for as long as a producer may send its enqueue again: the job must not come back to life.
local function remove(id, why, lifetime_seconds, rest)
  free_keys({id})
  redis.call('SET', JOB .. id, '!gone ' .. now .. ' ' .. why .. (rest or ''))
  remember({id}, lifetime_seconds or GONE_LIFETIME_SECONDS)
  forget_counts({id})
  redis.call('HINCRBY', STATS, why, 1)
  tell_waiters({id})
end
