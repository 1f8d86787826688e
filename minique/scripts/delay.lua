-- delay     (new) → delayed
-- uses      put
-- keys      JOB DELAYED
-- args      now due id record
-- returns   1, or 0 when the id is known already; `due` is epoch seconds, or +SECONDS from now

if redis.call('EXISTS', JOB .. id) == 1 then return 0 end
if string.sub(due, 1, 1) == '+' then due = string.format('%.6f', now_seconds + tonumber(string.sub(due, 2))) end
redis.call('ZADD', DELAYED, due, id)
redis.call('SET', JOB .. id, record)
if redis.call('ZRANK', DELAYED, id) == 0 then ring('@delayed') end
return 1
