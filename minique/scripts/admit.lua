-- admit     take in a new job, unless its id is known or another job holds its unique key
-- keys      JOB DELAYED UNIQUE

-- Answers 1; 0 when the id is known; or the id of the job that holds its key.
local function admit(id, record, due_seconds)
  local expires, key = terms_of(record)
  if not expires then return redis.call('SET', JOB .. id, record, 'NX') and 1 or 0 end
  if redis.call('EXISTS', JOB .. id) == 1 then return 0 end
  local holder = key ~= '' and redis.call('HGET', UNIQUE, key)
  if holder then return holder end
  local span = tonumber(string.match(expires, '^%+(.*)$'))
  if span then
    local queue, rest = string.match(record, '^([^\n]*\n)@%S*(.*)$')
    record = queue .. string.format('@%.6f', due_seconds + span) .. rest
  end
  redis.call('SET', JOB .. id, record)
  if key ~= '' then redis.call('HSET', UNIQUE, key, id) end
  return 1
end

-- The same for a delayed one; `due` is epoch seconds, or +SECONDS from now.
local function admit_delayed(id, record, due)
  if string.sub(due, 1, 1) == '+' then due = string.format('%.6f', now_seconds + tonumber(string.sub(due, 2))) end
  local answer = admit(id, record, tonumber(due))
  if answer == 1 then
    redis.call('ZADD', DELAYED, due, id)
    if redis.call('ZRANK', DELAYED, id) == 0 then ring('@delayed') end
  end
  return answer
end
