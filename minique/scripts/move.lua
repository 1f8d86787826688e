-- move      delayed → delayed, to another time
-- uses      put
-- keys      DELAYED
-- args      now due id
-- returns   1, or 0 when it is not delayed; `due` is epoch seconds, or +SECONDS from now

if not redis.call('ZSCORE', DELAYED, id) then return 0 end
if string.sub(due, 1, 1) == '+' then due = string.format('%.6f', now_seconds + tonumber(string.sub(due, 2))) end
redis.call('ZREM', DELAYED, id)
redis.call('ZADD', DELAYED, due, id)
if redis.call('ZRANK', DELAYED, id) == 0 then ring('@delayed') end
return 1
