-- pause     nobody claims from this queue until it is resumed; jobs may still be put into it
-- keys      PAUSED READY QUEUES
-- args      queue
-- returns   1, or 0 when it was paused already

redis.call('ZREM', READY, queue)
redis.call('SADD', QUEUES, queue)
return redis.call('SADD', PAUSED, queue)
