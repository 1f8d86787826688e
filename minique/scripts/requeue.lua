-- requeue   failed → queued, with its tries given back
-- uses      put state over
-- args      now id
-- returns   1; 0 when it is not failed; -1 when its record names no queue; the id of the job that has its unique key by now

if not redis.call('ZSCORE', FAILED, id) then return 0 end
local record = read_record(id)
local queue = record and queue_of(record)
if not queue then return -1 end
local _, key = terms_of(record)
local holder = key and key ~= '' and redis.call('HGET', UNIQUE, key)
if holder then return holder end
redis.call('ZREM', FAILED, id)
if key and key ~= '' then redis.call('HSET', UNIQUE, key, id) end
forget_counts({id})
put(queue, {id}, 'RPUSH')
redis.call('HINCRBY', STATS, 'requeue', 1)
return 1
