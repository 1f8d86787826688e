-- fail      leased → failed
-- uses      leave state over
-- args      now claim id failure
-- returns   1, or 0 when the claim is not the job's latest

if not redis.call('LPOS', CLAIM .. claim, id) then
  local last = redis.call('HGET', FAILURES, id)
  return last and string.sub(last, 1, #claim + 1) == claim .. '\n' and 1 or 0
end
leave(claim, {id})
redis.call('HINCRBY', FAILURE_COUNTS, id, 1)
set_aside(id, claim .. '\n' .. failure)
return 1
