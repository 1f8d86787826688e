-- see       how much is where, at one moment (reads only)
-- keys      QUEUES QUEUE PAUSED DELAYED LEASED LEASES FAILED WORKERS ABOUT STATS
-- args      now
-- returns   now, leased, claims overdue, delayed, next due, overdue, failed, then counted lists: queues (name, length, next id, paused), workers (name, seconds silent, about), statistics (name, count)

local next_due = redis.call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')[2] or ''
local queues = redis.call('SMEMBERS', QUEUES)
table.sort(queues)
local queue_rows, worker_rows = {}, {}
for _, queue in ipairs(queues) do
  queue_rows[#queue_rows + 1] = {queue, redis.call('LLEN', QUEUE .. queue), redis.call('LINDEX', QUEUE .. queue, 0) or '',
                                 redis.call('SISMEMBER', PAUSED, queue)}
end
local workers = redis.call('ZRANGE', WORKERS, 0, -1, 'WITHSCORES')
for i = 1, #workers, 2 do
  worker_rows[#worker_rows + 1] = {workers[i], string.format('%.6f', now_seconds - tonumber(workers[i + 1])),
                                   redis.call('HGET', ABOUT, workers[i]) or ''}
end
return {now, redis.call('HLEN', LEASED), redis.call('ZCOUNT', LEASES, '-inf', now), redis.call('ZCARD', DELAYED),
        next_due, redis.call('ZCOUNT', DELAYED, '-inf', now), redis.call('ZCARD', FAILED),
        queue_rows, worker_rows, redis.call('HGETALL', STATS)}
