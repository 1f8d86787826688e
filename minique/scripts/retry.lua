-- retry     leased → delayed
-- uses      put leave
-- keys      DELAYED FAILURES FAILURE_COUNTS STATS
-- args      now claim id in_seconds failure
-- returns   1, or 0 when the claim is not the job's latest

if not redis.call('LPOS', CLAIM .. claim, id) then
  local last = redis.call('HGET', FAILURES, id)
  return last and string.sub(last, 1, #claim + 1) == claim .. '\n' and 1 or 0
end
leave(claim, {id})
redis.call('ZADD', DELAYED, string.format('%.6f', now_seconds + tonumber(in_seconds)), id)
redis.call('HINCRBY', FAILURE_COUNTS, id, 1)
redis.call('HSET', FAILURES, id, claim .. '\n' .. failure)
redis.call('HINCRBY', STATS, 'retry', 1)
if redis.call('ZRANK', DELAYED, id) == 0 then ring('@delayed') end
return 1
