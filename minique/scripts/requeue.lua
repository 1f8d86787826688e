-- requeue   failed → queued, with its tries given back
-- uses      put over state
-- args      now id
-- returns   1; 0 when it is not failed; -1 when its record names no queue, so that there is none to put it into

if not redis.call('ZSCORE', FAILED, id) then return 0 end
local record = read_record(id)
local queue = record and queue_of(record)
if not queue then return -1 end
redis.call('ZREM', FAILED, id)
forget_counts({id})
put(queue, {id}, 'RPUSH')
redis.call('HINCRBY', STATS, 'requeue', 1)
return 1
