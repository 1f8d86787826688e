-- beat      a worker's sign of life: it serves this subscription, and says this of itself
-- keys      SUBSCRIPTIONS WORKERS ABOUT
-- limits    SILENCE_SECONDS
-- args      now worker subscription about
-- returns   1; an empty `about` takes the worker off the list

-- Nothing is decided by this but who is woken; a worker that is forgotten here after an hour of silence still finds its
-- work when it looks, once a second at the latest.
local long_ago = string.format('%.6f', now_seconds - SILENCE_SECONDS)
for _, silent in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, '-inf', long_ago)) do redis.call('HDEL', ABOUT, silent) end
redis.call('ZREMRANGEBYSCORE', WORKERS, '-inf', long_ago)
redis.call('ZREMRANGEBYSCORE', SUBSCRIPTIONS, '-inf', long_ago)
if subscription ~= '' then redis.call('ZADD', SUBSCRIPTIONS, now, subscription) end
if about == '' then
  redis.call('ZREM', WORKERS, worker)
  redis.call('HDEL', ABOUT, worker)
else
  redis.call('ZADD', WORKERS, now, worker)
  redis.call('HSET', ABOUT, worker, about)
end
return 1
